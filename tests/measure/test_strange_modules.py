"""Modules as people have them: wrapped, scripted, frozen, complex, in place, wide; and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.measure import (
    SequenceMap,
    gradient_norms,
    memory_function,
    memory_report,
    passes,
    perturbation_curve,
    stability_margin,
)
from curse_of_memory.tasks import LinearFunctional

TASK = LinearFunctional(lambda t: 0.5**t, 12)
EPS = float(np.finfo(np.float32).eps)


class Answer(nn.Module):
    """The model that a function is."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Net(nn.Module):
    """Recurrence, dropout, readout, and buffers that nobody perturbs."""

    def __init__(self, channels: int = 1):
        super().__init__()
        torch.manual_seed(0)
        self.recurrence = nn.GRU(channels, 4, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.readout = nn.Linear(4, 1)
        self.register_buffer("steps", torch.arange(3))
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        y, _ = self.recurrence(x)
        return self.readout(self.dropout(y)) * self.scale.to(x.dtype)


def every_curve(model, **options):
    """What all measurements see, in one array."""
    memory = memory_function(model, 12, **options)
    gradient = gradient_norms(model, 12, samples=2, **options)
    curve = perturbation_curve(model, TASK, [0.0, 0.1], draws=3, samples=8)
    margin = stability_margin(model, TASK, draws=2, samples=8)
    return np.concatenate([memory, gradient["mean"], curve.error, [margin.beta]])


# --- wrapped and scripted -------------------------------------------------------------------------

WRAPPERS = {
    "script": torch.jit.script,
    "trace": lambda model: torch.jit.trace(model, torch.zeros(3, 12, 1)),
    "compile": torch.compile,
    "DataParallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapped_and_scripted_modules_are_measured_and_left_as_they_were(wrap):
    plain, net = every_curve(Net()), Net().eval()
    model = WRAPPERS[wrap](net)
    model.train()
    before = [(p, p.data_ptr(), p.detach().clone()) for p in model.parameters()]
    # the same arithmetic in another order at most
    np.testing.assert_allclose(every_curve(model), plain, rtol=0.03, atol=64 * EPS)
    if wrap == "trace":  # which has written down that its initial state is in float32
        with pytest.raises(ValueError, match="float64: RuntimeError: mat1 and mat2 must have the same dtype"):
            memory_function(model, 5, dtype=torch.float64)
    else:
        memory_function(model, 5, dtype=torch.float64)
    assert all(part.training for part in model.modules())
    for (_, pointer, value), p in zip(before, model.parameters(), strict=True):
        assert (p.data_ptr(), p.requires_grad, p.grad) == (pointer, True, None)
        assert torch.equal(p, value)
    assert {b.dtype for b in model.buffers()} == {torch.int64, torch.float64}


def test_hooks_may_answer_with_other_things():
    model = Net()
    model.register_forward_pre_hook(lambda module, inputs: None)
    model.register_forward_hook(lambda module, inputs, y: {"logits": y, "note": "text"})
    np.testing.assert_array_equal(every_curve(model), every_curve(Net()))


def test_frozen_weights_are_measured():
    model = Net().requires_grad_(False)
    np.testing.assert_allclose(every_curve(model), every_curve(Net()), rtol=0.03, atol=64 * EPS)
    assert not any(p.requires_grad for p in model.parameters())


# --- in place -----------------------------------------------------------------------------------


def test_a_model_that_works_in_place_is_that_which_does_not():
    torch.manual_seed(0)
    readout = nn.Linear(1, 2)
    inside = nn.Sequential(Answer(lambda x: x.mul_(3.0)), nn.ReLU(inplace=True), readout)
    plain = nn.Sequential(Answer(lambda x: 3.0 * x), nn.ReLU(), readout)
    for measure in (lambda m: memory_function(m, 6, radii=[1, 2]), lambda m: gradient_norms(m, 6)["mean"]):
        np.testing.assert_array_equal(measure(inside), measure(plain))
    x = torch.randn(1, 6, 1).expand(4, -1, -1)
    before = x.clone()
    same = [gradient_norms(m, 6, inputs=x)["max"] for m in (inside, plain)]
    np.testing.assert_array_equal(*same)
    SequenceMap(inside).check(x)
    SequenceMap(inside)(x)
    assert torch.equal(x, before)


# --- numbers of other kinds -----------------------------------------------------------------------


class Spiral(nn.Module):
    """y_t = Σ_s aˢ x_{t−s} with complex a, the first weight: its memory is |a|ˢ."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([a], dtype=torch.complex64))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        powers = self.a ** torch.arange(x.shape[1])
        steps = range(1, x.shape[1] + 1)
        return torch.stack([(x[:, :t].flip(1) * powers[:t, None]).sum(1) for t in steps], 1) * self.gain


@pytest.mark.parametrize("probe", ["heaviside", "impulse", "reversed"])
def test_the_memory_of_complex_answers_is_their_modulus(probe):
    a = 0.95 * np.exp(0.5j)
    found = memory_function(Spiral(a), 12, probe=probe, warmup=30)
    kernel = a ** np.arange(42)
    exact = np.abs(kernel[:12] - (kernel[30:] if probe == "reversed" else 0))
    np.testing.assert_allclose(found, exact, rtol=0, atol=64 * 42 * EPS)
    both = np.abs(kernel[:12])  # for one input, whatever norm: |(Re a, Im a)|
    for norm in ("frobenius", "spectral"):
        gradient = gradient_norms(Spiral(a), 12, norm=norm, samples=2)
        np.testing.assert_allclose(gradient["max"], both, rtol=0, atol=64 * 12 * EPS)


def test_modules_that_read_complex_numbers_only_are_measured():
    torch.manual_seed(0)
    model = nn.Linear(1, 3, dtype=torch.complex64)
    size = torch.linalg.vector_norm(model.weight).item()
    assert memory_function(model, 3).values[0] == pytest.approx(size, rel=8 * EPS)
    assert gradient_norms(model, 3)["max"].values[0] == pytest.approx(size, rel=8 * EPS)


@pytest.mark.parametrize(
    "build",
    [
        lambda: [nn.Linear(1, 2, dtype=torch.float64), Answer(lambda x: x.float()), nn.Linear(2, 1)],
        lambda: [Answer(lambda x: x.double()), nn.Linear(1, 2, dtype=torch.float64)],
        lambda: [nn.Linear(1, 2), Answer(lambda x: x.double()), nn.Linear(2, 1, dtype=torch.float64)],
    ],
)
def test_models_of_several_precisions_are_measured(build):
    torch.manual_seed(0)
    model = nn.Sequential(*build())
    weights = [part.weight.detach().double().numpy() for part in model if isinstance(part, nn.Linear)]
    exact = np.linalg.norm(weights[-1] @ weights[0] if len(weights) == 2 else weights[0])
    found = memory_function(model, 4)
    assert found.values[0] == pytest.approx(exact, rel=16 * EPS)


def test_a_half_precision_weight_that_comes_first_is_not_the_precision_of_the_rest():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model.note = nn.Parameter(torch.ones(2, dtype=torch.float16))  # comes before those of the parts
    assert SequenceMap(model).dtype is torch.float16
    exact = (model[0].weight * model[1].weight).abs().item()
    found = memory_function(model, 3)
    assert found.values[0] == pytest.approx(exact, rel=16 * 2**-10)
    assert perturbation_curve(model, TASK, [0.0], draws=1, samples=8).error > 0


def test_models_without_weights_are_measured_in_the_default_precision():
    model = Answer(lambda x: x.cumsum(1))
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            floor = memory_function(model, 5).attrs["noise_floor"]
            assert floor == pytest.approx(5 * torch.finfo(dtype).eps, rel=0.5)
    finally:
        torch.set_default_dtype(before)
    # another default than the model's
    assert memory_function(Net(), 5).attrs["noise_floor"] > 1e-9


# --- many outputs: what fits at once --------------------------------------------------------------


class Wide(nn.Module):
    """A readout of 20 000 words; notes how many sequences it is given."""

    def __init__(self, words=20_000):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, words))
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return x.sum(-1, keepdim=True) * self.weight


class Classes:
    """One word out of many at every step."""

    def sample(self, size, *, seed, device="cpu", dtype=None):
        x = torch.randn(size, 8, 1, generator=torch.Generator().manual_seed(0), dtype=dtype)
        return x, torch.zeros(size, 8, dtype=torch.long)


@pytest.mark.parametrize(
    "measure",
    [
        lambda m: memory_function(m, 8, input_size=5),
        lambda m: gradient_norms(m, 8, samples=1),
        lambda m: perturbation_curve(
            m, Classes(), [0.1], draws=1, samples=64, loss=TemporallyWeightedCrossEntropy()
        ),
    ],
)
def test_passes_are_counted_in_bytes_of_answers(measure, monkeypatch):
    model, one = Wide(), 4 * 8 * 8 * 20_000  # four arrays of float64
    monkeypatch.setattr(passes, "BYTES_AT_ONCE", 6 * one)
    monkeypatch.setattr("curse_of_memory.measure.sampled_error.BYTES_AT_ONCE", 6 * one)
    monkeypatch.setattr("curse_of_memory.measure.sequence_map.BYTES", one)
    measure(model)
    assert 1 < max(model.seen) <= 7  # six, and the zero input; by steps it would be all


# --- refusals, one line each ----------------------------------------------------------------------


class Positions(nn.Module):
    def __init__(self, steps=16):
        super().__init__()
        self.table = nn.Embedding(steps, 1)

    def forward(self, x):
        return x + self.table(torch.arange(x.shape[1]))


class OwnStep(Net):
    def __init__(self):
        super().__init__()
        self.dt = nn.Parameter(torch.rand(4))


def gpt2(**options):
    transformers = pytest.importorskip("transformers")
    tokens = {"vocab_size": 20, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    return transformers.GPT2Model(
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=16, **tokens, **options)
    )


def stack_of_three():
    return nn.Sequential(nn.Linear(3, 2), Answer(lambda x: x.cumsum(1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory_function(stack_of_three(), 5), "say input_size=3 if that is what it reads"),
        (lambda: gradient_norms(stack_of_three(), 5), "say input_size=3"),
        (lambda: perturbation_curve(stack_of_three(), TASK, [0.1]), "inputs of shape .3, 12, 1."),
        (lambda: memory_function(gpt2(), 17), "horizon .* must be at most 16, the model's n_positions"),
        (lambda: memory_function(gpt2(), 4, probe="reversed"), "but sequences of 20 steps are fed"),
        (lambda: gradient_norms(gpt2(), 17), "must be at most 16, the model's n_positions"),
        (
            lambda: memory_function(Positions(), 17),
            "horizon must be at most 16, if 'table' has the positions",
        ),
        (
            lambda: memory_function(OwnStep(), 5),
            "dt must be given: the model's own dt is no number, but Param",
        ),
        (lambda: gradient_norms(OwnStep(), 5), "dt must be given"),
        (lambda: memory_function(Answer(lambda x: x.argmax(-1)), 5), "model answers with torch.int64"),
        (
            lambda: memory_function(lambda x: x, 5),
            "model must be a torch.nn.Module or a SequenceMap, got func",
        ),
        (lambda: memory_function([Net()], 5), "got list"),
        (lambda: gradient_norms(None, 5), "got NoneType"),
        (lambda: SequenceMap(Net(), output="y"), "output must be a function"),
        (
            lambda: memory_function(SequenceMap(Net()), 5, output=lambda y: y),
            "output must be given to the Seq",
        ),
        (lambda: gradient_norms(SequenceMap(Net()), 5, input_size=1), "input_size must be given to the Sequ"),
        (
            lambda: memory_report("GRU", 5),
            "models must be a mapping from names to models, or a list, got str",
        ),
        (lambda: memory_report(Net(), 5), "got Net"),
        (lambda: memory_report(["GRU"], 5), "must be a module or a memory, got str"),
        (lambda: memory_report([], 5), "models must not be empty"),
    ],
)
def test_refusals_are_one_line_that_names_the_argument(call, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_was_refused_is_measured_as_the_line_says():
    assert memory_function(stack_of_three(), 5, input_size=3).shape == (5,)
    assert memory_function(gpt2(), 16).shape == (16,)
    assert memory_function(Positions(), 16).values[0] == pytest.approx(1.0, rel=8 * EPS)
    assert memory_function(OwnStep(), 5, dt=0.5).lag.values[1] == 0.5


def test_a_list_of_models_has_the_names_of_their_classes():
    three = SequenceMap(stack_of_three(), input_size=3)
    table = memory_report([Net(), nn.Identity(), Net(), three], 20)
    assert list(table.index) == ["Net", "Identity", "Net 2", "Sequential"]
    named = memory_report({"Net": Net(), "Identity": nn.Identity(), "Net 2": Net(), "Sequential": three}, 20)
    assert table.equals(named)
