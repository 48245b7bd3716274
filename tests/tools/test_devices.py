import contextlib
import itertools
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from curse_of_memory import fit, gradient_norms, memory_function, perturbation_curve, stability_margin, sweep
from curse_of_memory.nn import RNN
from curse_of_memory.nn.recurrence.nonlinear import engines as nonlinear_engines
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tools.devices import (
    BYTES_PER_BYTE_ON_TAPE,
    bytes_on_tape,
    copies_that_fit,
    full_precision,
    memory_budget,
    resolve_device,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("available", [True, False])
def test_auto_is_cuda_where_there_is_one(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == torch.device("cuda" if available else "cpu")
    assert resolve_device() == resolve_device("auto")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_devices_may_be_names_or_devices(device):
    assert resolve_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_cuda_is_refused_where_there_is_none(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA device; use 'auto' or 'cpu'"):
        resolve_device(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", None, 1.5])
def test_other_words_are_refused(device):
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu'"):
        resolve_device(device)


# --- precision ----------------------------------------------------------------------------------

backends = torch.backends
NAMES = {
    "all": backends,
    "cudnn": backends.cudnn,
    "mkldnn": backends.mkldnn,
    "cuda.matmul": backends.cuda.matmul,
    "cudnn.conv": backends.cudnn.conv,
    "cudnn.rnn": backends.cudnn.rnn,
    "mkldnn.matmul": backends.mkldnn.matmul,
    "mkldnn.conv": backends.mkldnn.conv,
    "mkldnn.rnn": backends.mkldnn.rnn,
}
# what a user may have said, by the older names and the newer ones
USERS = {
    "nothing": "",
    "high": "torch.set_float32_matmul_precision('high')",
    "medium": "torch.set_float32_matmul_precision('medium')",
    "allowed": "b.cuda.matmul.allow_tf32 = True",
    "not in cudnn": "b.cudnn.allow_tf32 = False",
    "everywhere": "b.fp32_precision = 'tf32'",
    "nowhere": "b.fp32_precision = 'ieee'",
    "in cudnn": "b.cudnn.fp32_precision = 'tf32'",
    "not in layers": "b.cudnn.conv.fp32_precision = b.cudnn.rnn.fp32_precision = 'ieee'",
    "some": "b.fp32_precision = 'tf32'; b.cudnn.rnn.fp32_precision = 'ieee'",
    "bf16": "b.mkldnn.matmul.fp32_precision = 'bf16'; b.cudnn.fp32_precision = 'ieee'",
    "both": "b.fp32_precision = 'tf32'; b.cudnn.allow_tf32 = False; "
    "b.cudnn.conv.fp32_precision = b.cudnn.rnn.fp32_precision = 'ieee'",
}


def settings():
    """What torch says of its precision; the older names may not be readable."""
    found = {name: owner.fp32_precision for name, owner in NAMES.items()}
    older = {
        "old cudnn": lambda: backends.cudnn.allow_tf32,
        "old matmul": lambda: backends.cuda.matmul.allow_tf32,
        "old": torch.get_float32_matmul_precision,
    }
    for name, read in older.items():
        with contextlib.suppress(RuntimeError):
            found[name] = read()
    return found


FULL = dict.fromkeys(NAMES, "ieee") | {"old cudnn": False, "old matmul": False, "old": "highest"}


@pytest.fixture
def torchs_own():
    """Put torch's settings back to what they are at the start."""

    def reset():
        for owner in NAMES.values():
            owner.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        backends.cuda.matmul.fp32_precision = backends.mkldnn.matmul.fp32_precision = "none"
        backends.cudnn.allow_tf32 = True

    reset()
    yield
    reset()


@pytest.mark.parametrize("said", USERS.values(), ids=USERS)
def test_full_precision_is_full_and_leaves_no_trace(torchs_own, said):
    exec(said, {"torch": torch, "b": backends})
    before = settings()
    with full_precision():
        inside = settings()
        with full_precision():
            pass
        assert settings() == inside
    assert inside == {name: FULL[name] for name in inside}
    assert set(inside) >= set(before)  # an older name that could be read still can
    assert settings() == before
    with full_precision(False):
        assert settings() == before


def test_what_torch_inherits_by_itself_is_inherited_afterwards():
    """In a process of its own: a default that has once been set is none any more."""
    code = """
        import sys, torch
        from curse_of_memory.tools.devices import full_precision
        torch.backends.cudnn.fp32_precision = "ieee"
        if torch.backends.cudnn.rnn.fp32_precision != "ieee":
            sys.exit("torch inherits nothing")
        with full_precision():
            pass
        assert torch.backends.cudnn.rnn.fp32_precision == "ieee"
        torch.backends.cudnn.fp32_precision = "none"
        assert torch.backends.cudnn.rnn.fp32_precision == "tf32"
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True)
    if done.stderr == b"torch inherits nothing\n":
        pytest.skip("torch before 2.13 inherits nothing")
    assert done.returncode == 0, done.stderr.decode()


def test_threads_do_not_take_full_precision_from_one_another(torchs_own):
    before, seen = settings(), []
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    for do in (
        lambda: first.enter_context(full_precision()),
        lambda: second.enter_context(full_precision()),
        first.close,
        second.close,
    ):
        thread = threading.Thread(target=do)
        thread.start()
        thread.join()
        seen.append(settings())
    assert seen == [FULL, FULL, FULL, before]


def test_an_error_inside_leaves_no_trace(torchs_own):
    before = settings()
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert settings() == before


class Recording(RNN):
    """Writes down torch's settings whenever it is run."""

    seen: ClassVar[list] = []

    def forward(self, x):
        self.seen.append(settings())
        return super().forward(x)

    def run_many(self, parameters, x):
        self.seen.append(settings())
        return super().run_many(parameters, x)


TASK = LinearFunctional(lambda t: 0.5**t, horizon=6)
SHORT = {"steps": 2, "batch_size": 4, "validation_size": 4}
RUNS = {
    "fit": lambda model: fit(model, TASK, device="cpu", **SHORT),
    "memory_function": lambda model: memory_function(model, horizon=6, device="cpu"),
    "gradient_norms": lambda model: gradient_norms(model, horizon=6, device="cpu"),
    "perturbation_curve": lambda model: perturbation_curve(
        model, TASK, [0.0, 0.1], draws=2, samples=4, device="cpu"
    ),
    "stability_margin": lambda model: stability_margin(model, TASK, draws=2, samples=4, device="cpu"),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("said", ["nothing", "medium", "everywhere", "not in layers"])
def test_our_own_runs_are_in_full_precision(torchs_own, run, said):
    exec(USERS[said], {"torch": torch, "b": backends})
    before = settings()
    Recording.seen.clear()
    RUNS[run](Recording(2, activation="tanh", seed=0))
    assert Recording.seen
    for seen in Recording.seen:
        assert seen == {name: FULL[name] for name in seen}
    assert settings() == before


@pytest.fixture
def runs_of_a_sweep(monkeypatch):
    seen, run_many = [], RNN.run_many

    def watched(*arguments):
        seen.append(settings())
        return run_many(*arguments)

    monkeypatch.setattr(RNN, "run_many", watched)
    return seen


def test_a_sweep_is_in_full_precision(torchs_own, runs_of_a_sweep):
    sweep([RNN(2, activation="tanh", seed=s) for s in range(2)], TASK, device="cpu", **SHORT)
    assert runs_of_a_sweep == [FULL] * len(runs_of_a_sweep) != []


def test_less_can_be_asked_for(torchs_own, runs_of_a_sweep):
    before = settings()
    Recording.seen.clear()
    fit(Recording(2, activation="tanh", seed=0), TASK, device="cpu", full_precision=False, **SHORT)
    sweep([RNN(2, activation="tanh", seed=0)], TASK, device="cpu", full_precision=False, **SHORT)
    seen = Recording.seen + runs_of_a_sweep
    assert seen == [before] * len(seen) != []
    assert before["cudnn.rnn"] == "tf32"


# --- memory -------------------------------------------------------------------------------------


def test_the_budget_is_what_was_said_or_what_is_there(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert memory_budget(cpu, 7) == memory_budget(cuda, 7) == 7
    assert memory_budget(cpu) == 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    assert memory_budget(cuda) == (1000 + 500 - 300) // 2


@pytest.mark.parametrize("memory", [0, -1, 1.5, "1G"])
def test_a_budget_that_is_none_is_refused(memory):
    with pytest.raises((TypeError, ValueError), match="memory must be"):
        memory_budget(torch.device("cpu"), memory)


def test_bytes_on_the_tape_are_counted_once_each():
    x = torch.ones(100, dtype=torch.float64, requires_grad=True)
    # x · x keeps x twice, exp its own result, which is that of the whole; a sum keeps nothing but is a number
    assert bytes_on_tape(lambda: x * x) == 800 + 800
    assert bytes_on_tape(lambda: x.exp()) == 800
    assert bytes_on_tape(lambda: x.sum()) == 8
    with torch.no_grad():
        assert bytes_on_tape(lambda: (x * x).sum()) == 808


def test_copies_fit_into_the_budget():
    assert [copies_that_fit(10, budget) for budget in (1, 40, 79, 80, 4000)] == [1, 1, 1, 2, 100]
    assert copies_that_fit(0, 100) == 100


def most_bytes(compute):
    """The largest sum of allocations that live at one time, by torch's own account."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as account:
        compute()
    events = [e for e in account.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(itertools.accumulate(e.nbytes() for e in events))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("width", [2, 16])
def test_what_is_counted_covers_what_is_needed(monkeypatch, width, compiled):
    """With the operations of other devices, too, which keep all states."""
    if not compiled:
        monkeypatch.setattr(nonlinear_engines, "COMPILED", ())
    models = [RNN(width, activation="tanh", seed=s, dtype=torch.float64) for s in range(8)]
    names = [name for name, _ in models[0].named_parameters()]
    x = torch.ones(64, 50, 1, dtype=torch.float64)

    def loss(count):
        stacked = {name: torch.stack([m.get_parameter(name) for m in models[:count]]) for name in names}
        return models[0].run_many(stacked, x).square().mean()

    loss(1).backward()  # so that nothing is compiled or allocated for the first time
    on_tape = bytes_on_tape(lambda: loss(1))
    needed = most_bytes(lambda: loss(8).backward())
    assert needed <= 8 * BYTES_PER_BYTE_ON_TAPE * on_tape
    # nor is it counted far too high: the states that the compiled loops keep are those of a whole tile
    assert needed >= 8 * on_tape / 4
