"""The same runs give the same results wherever they take place, and the same errors."""

import itertools
import os
import pickle
import signal
import sys
import threading
import time
import warnings

import joblib
import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tools import run_places
from curse_of_memory.training import fit
from curse_of_memory.training.runs import run_all
from tests.forks import two_workers


def trained(seed, activation="tanh"):
    """Train a small network; a function that any process can run."""
    model = RNN(2, seed=seed, activation=activation, dtype=torch.float64)
    task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    result = fit(
        model, task, steps=5, batch_size=4, validate_every=5, validation_size=4, seed=seed, device="cpu"
    )
    return result.loss, torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


FOUR = [{"i": i} for i in range(4)]
RUNS = [{"seed": s, "activation": a} for s in range(2) for a in ("tanh", "linear")]


@pytest.fixture(scope="module")
def here():
    return [trained(**run) for run in RUNS]


@pytest.fixture(scope="module")
def cluster():
    """A real scheduler with two processes for workers, which are replaced when they die."""
    distributed, dask = pytest.importorskip("distributed"), pytest.importorskip("dask")
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.admin.log-format": "%(message)s"}
    with (
        dask.config.set(settings),
        two_workers() as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        yield client


@pytest.fixture(params=["here", "threads", "processes", "cluster"])
def place(request):
    """Everywhere that runs can take place."""
    if request.param == "cluster":
        request.getfixturevalue("cluster")
    settings = {"threads": {"backend": "threading", "n_jobs": 2}, "processes": {"n_jobs": 2}}
    settings |= {"cluster": {"backend": "dask"}}
    if request.param == "here":
        yield "here"
        return
    with joblib.parallel_config(**settings[request.param]):
        yield request.param


def test_results_come_in_the_order_of_the_arguments(place):
    def run(i):
        time.sleep(0.02 * (4 - i))  # the last ends first
        return i

    assert run_all(run, FOUR) == [0, 1, 2, 3]


def test_training_gives_the_same_results_in_a_cluster_and_in_threads(here):
    distributed = pytest.importorskip("distributed")
    with joblib.parallel_config(backend="threading"):
        assert run_all(trained, RUNS, jobs=2) == here
    # its workers are in this process, which has torch already
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert run_all(trained, RUNS) == here


def test_a_cluster_takes_as_many_at_a_time_as_it_is_told(cluster):
    def begun_and_ended(i):
        begun = time.time()
        time.sleep(0.05)
        return begun, time.time()

    with joblib.parallel_config(backend="dask"):
        spans = sorted(run_all(begun_and_ended, [{"i": i} for i in range(4)], jobs=1))
    assert all(ended <= begun for (_, ended), (begun, _) in itertools.pairwise(spans))


def test_no_runs_have_no_results(place):
    assert run_all(trained, []) == []


# --- errors -------------------------------------------------------------------------------------


def make(how):
    """Return a function of `i`, which is sent by value, that fails in this way for i = 1."""

    def run(i, kept=None):
        if i != 1:
            return None if i == 2 else 10 * i
        if how == "raises":
            raise ArithmeticError("the answer\nis not known")
        if how == "raises oddly":
            # an exception of two arguments, of which its pickle knows nothing
            raise type("Odd", (Exception,), {"__init__": lambda self, a, *, b: None})(1, b=2)
        if how == "exits":
            raise SystemExit(3)
        if how == "returns a lock":
            return threading.Lock()
        if how == "dies":
            os._exit(1)
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)

    return run


EVERYWHERE = {
    "raises": (ArithmeticError, "the answer\nis not known"),
    "exits": (RuntimeError, r"run 1, make.<locals>.run(i=1): it asked Python to exit (3)"),
}
ELSEWHERE = {
    "returns a lock": (TypeError, "run 1, make.<locals>.run(i=1): its result, lock, cannot be pickled: "),
    "raises oddly": (RuntimeError, "run 1, make.<locals>.run(i=1): Odd: "),
}


def check(error, kind, words):
    assert type(error) is kind
    assert str(error).startswith(words)
    if kind is ArithmeticError:
        assert error.__notes__ == ["in run 1, make.<locals>.run(i=1)"]
    else:
        assert "\n" not in str(error)


@pytest.mark.parametrize("how", EVERYWHERE)
def test_an_error_is_of_one_run_and_the_others_are_kept(place, how):
    kept = run_all(make(how), FOUR, errors="keep")
    assert kept[:1] + kept[2:] == [0, None, 30]
    check(kept[1], *EVERYWHERE[how])
    with pytest.raises(EVERYWHERE[how][0]) as raised:
        run_all(make(how), FOUR)
    check(raised.value, *EVERYWHERE[how])


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["threads", "processes"])
def test_an_error_leaves_nothing_running_and_nothing_to_be_warned_of(jobs):
    """Runs that an error leaves undone are ended with it, not when its traceback is forgotten."""

    def divided(x):  # sent by value: workers need not import this module, and torch with it
        time.sleep(0.01)
        return divmod(1, x)

    filters = list(warnings.filters)
    place = joblib.parallel_config("threading" if jobs == "threads" else "loky", n_jobs=2)
    with place, pytest.raises(ZeroDivisionError) as kept:
        run_all(divided, [{"x": 0}, *({"x": i} for i in range(1, 40))])
    assert kept.tb is not None  # the frames of the error are there still
    assert warnings.filters == filters


@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("place", ["processes", "cluster"], indirect=True)
def test_what_cannot_be_sent_back_is_said(place, how):
    kept = run_all(make(how), FOUR, errors="keep")
    assert kept[:1] + kept[2:] == [0, None, 30]
    check(kept[1], *ELSEWHERE[how])


@pytest.mark.parametrize(
    ("place", "how"), [("processes", "is killed"), ("cluster", "dies")], indirect=["place"]
)
def test_a_worker_that_dies_is_reported_in_time(place, how):
    begun = time.monotonic()
    kept = run_all(make(how), FOUR, errors="keep")
    assert time.monotonic() - begun < 60
    assert kept[:1] + kept[2:] == [0, None, 30]
    check(kept[1], RuntimeError, f"run 1, make.<locals>.run(i=1): {run_places.DIED}")


def test_a_worker_that_dies_ends_the_call_where_errors_are_raised():
    with joblib.parallel_config(n_jobs=2), pytest.raises(RuntimeError, match=run_places.DIED) as raised:
        run_all(make("dies"), FOUR)
    assert "\n" not in str(raised.value)


def test_a_worker_that_is_replaced_because_it_has_grown_stops_nothing():
    def run(i):
        if i == 2:  # the first call of a worker says how large it is
            sys.kept = b"1" * 350_000_000
        time.sleep(1.1 if i else 0.0)  # the size is looked at once in a second
        return i

    with joblib.parallel_config(n_jobs=2):
        assert run_all(run, [{"i": i} for i in range(5)]) == [0, 1, 2, 3, 4]


def test_of_two_that_die_each_is_found_and_who_ran_beside_them_is_not_blamed():
    def run(i):
        time.sleep(0.2)
        if i % 2:
            os._exit(1)
        return i

    with joblib.parallel_config(n_jobs=3):
        kept = run_all(run, FOUR, errors="keep")
    assert kept[0::2] == [0, 2]
    assert [str(error) for error in kept[1::2]] == [
        f"run {i}, {run.__qualname__}(i={i}): {run_places.DIED}" for i in (1, 3)
    ]


@pytest.mark.parametrize("place", ["processes", "cluster"], indirect=True)
def test_an_argument_that_cannot_be_pickled_is_named_before_anything_runs(place, tmp_path):
    def run(i, kept=None):
        (tmp_path / str(i)).touch()
        return i

    runs = [{"i": 0}, {"i": 1, "kept": threading.Lock()}, {"i": 2}]
    words = r"run 1, .*\(i=1, kept=<unlocked _thread.lock .*\): argument 'kept' cannot be pickled"
    with pytest.raises(TypeError, match=words):
        run_all(run, runs)
    assert not list(tmp_path.iterdir())
    kept = run_all(run, runs, errors="keep")
    assert (kept[0], type(kept[1]), kept[2]) == (0, TypeError, 2)
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"run 0, .*: the function cannot be pickled"):
        run_all(lambda i: lock, FOUR)


@pytest.mark.parametrize("place", ["processes", "cluster"], indirect=True)
def test_what_does_not_come_back_from_a_pickle_is_an_error_of_one_run(place):
    class Poisoned:
        def __reduce__(self):
            return pickle.loads, (b"nonsense",)

    def run(i, kept=None):
        return i

    kept = run_all(run, [{"i": 0}, {"i": 1, "kept": Poisoned()}], errors="keep")
    assert kept[0] == 0
    assert "it cannot be unpickled where it should run" in str(kept[1])
    result = run_all(lambda i: Poisoned(), [{"i": 0}], errors="keep")
    assert "its result cannot be unpickled here" in str(result[0])


def test_a_cluster_without_workers_is_given_up(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(run_places, "NO_WORKER_FOR", 0.3)
    monkeypatch.setattr(run_places, "LOOK_EVERY", 0.1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        with pytest.raises(RuntimeError, match=r"run 0, .*: the cluster has had no worker for 0.3 seconds"):
            run_all(trained, RUNS)
        kept = run_all(trained, RUNS, errors="keep")
    assert [type(error) for error in kept] == [RuntimeError] * 4


def test_long_arguments_are_cut_in_messages():
    def run(values):
        raise SystemExit

    with pytest.raises(RuntimeError) as raised:
        run_all(run, [{"values": list(range(1000))}])
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([3], {}, "arguments must be mappings"),
        ([{1: 2}], {}, "arguments must be mappings"),
        ([], {"jobs": 0}, "jobs must be at least 1"),
        ([], {"jobs": -2}, "jobs must be"),
        ([], {"errors": "ignore"}, "errors must be one of 'raise', 'keep'"),
    ],
)
def test_bad_input_is_refused(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        run_all(trained, arguments, **options)
    with pytest.raises(TypeError, match="function must be callable, got int"):
        run_all(3, [])


def test_a_pool_that_hangs_is_refused():
    with (
        joblib.parallel_config(backend="multiprocessing", n_jobs=2),
        pytest.raises(ValueError, match="'multiprocessing' hangs"),
    ):
        run_all(trained, RUNS)
