"""What can be trained on, and that nobody's code spoils what others are given."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import Batch, LinearFunctional
from curse_of_memory.tools.devices import torch_draws
from curse_of_memory.training import fit, sweep

SMALL = {"steps": 12, "batch_size": 8, "validate_every": 4, "validation_size": 16, "device": "cpu"}


@pytest.fixture
def task():
    return LinearFunctional(lambda t: 0.5**t, 12)


@pytest.fixture
def arrays(task):
    return tuple(part.numpy() for part in task.sample(40, seed=9, dtype=torch.float64))


def network():
    return RNN(3, activation="tanh", seed=0)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [None, nn.MSELoss(), nn.HuberLoss()])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_of_short_weights_train_on_tasks_and_data(task, arrays, dtype, loss):
    class Recorded(nn.Linear):
        def forward(self, x):
            assert x.dtype == dtype
            return super().forward(x)

    for data in (task, arrays, TensorDataset(*map(torch.tensor, arrays))):
        with torch_draws(0):  # next to the best weight, squares of gradients would vanish in float16
            model = Recorded(1, 1, bias=False).to(dtype)
        assert fit(model, data, loss=loss, **SMALL).status in ("finished", "not improved")
        assert model.weight.dtype == dtype
    x = arrays[0]
    model = Recorded(1, 1, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.fill_(0.5)
    everything = SMALL | {"steps": 1, "validation_size": len(x)}
    found = fit(model, (x, x), validation=(x, x), loss=nn.MSELoss(), **everything)
    rounded = torch.tensor(x).to(dtype).double()
    exact = (rounded / 2 - torch.tensor(x)).square().mean().item()  # halves are exact: nothing else rounds
    assert found.history.validation_loss[0] == pytest.approx(exact, rel=1e-6)


class Positions(nn.Module):
    """Knows eight steps."""

    def __init__(self):
        super().__init__()
        self.table, self.readout = nn.Embedding(8, 1), nn.Linear(1, 1)

    def forward(self, x):
        return self.readout(x + self.table(torch.arange(x.shape[1])))


@pytest.mark.parametrize("model", [nn.Linear(3, 1), nn.Conv1d(1, 1, 3), Positions()])
def test_a_model_that_does_not_read_the_inputs_is_named_in_one_line(task, model):
    with pytest.raises(
        ValueError, match=r"^model does not answer inputs of the task, shape \(4, 12, 1\)[^\n]*$"
    ):
        fit(model, task, **SMALL)


# --- code that works in place -------------------------------------------------------------------


class InPlace(nn.Module):
    """The same map as its twin, but it writes over what it is given."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place, self.network = in_place, network()

    def forward(self, x):
        return self.network(x.mul_(0.5) if self.in_place else x * 0.5)

    def __repr__(self):
        return "InPlace()"


def spoiling(y_hat, y):
    error = TemporallyWeightedMSE()(y_hat, y)
    y.mul_(2.0)
    return error


class OneBuffer:
    """A task that fills the same memory again and again, or hands out what it keeps."""

    def __init__(self, task, fresh=False):
        self.task, self.fresh, self.kept = task, fresh, None

    def sample(self, size, *, seed, **options):
        found = self.task.sample(16, seed=seed, **options)
        if self.fresh or self.kept is None:
            self.kept = found
        else:
            for kept, new in zip(self.kept, found, strict=True):
                kept.copy_(new)
        return Batch(*(part[:size] for part in self.kept))


class SameAgain:
    """A task that always hands out one tensor, as inputs and as targets."""

    def __init__(self, x):
        self.x = x

    def sample(self, size, **options):
        return self.x[:size], self.x[:size]


def assert_same_runs(first, second):
    for mine, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(mine.history, other.history, check_exact=True)


def test_a_model_that_works_in_place_has_the_losses_of_its_twin(task):
    runs = [[fit(InPlace(in_place), task, **SMALL)] for in_place in (True, False)]
    assert_same_runs(*runs)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 12, 1))).float()
    runs = [[fit(InPlace(in_place), SameAgain(x.clone()), **SMALL)] for in_place in (True, False)]
    assert_same_runs(*runs)


def test_a_loss_that_works_in_place_has_the_losses_of_its_twin(task):
    assert_same_runs([fit(network(), task, loss=spoiling, **SMALL)], [fit(network(), task, **SMALL)])


def test_a_task_with_one_buffer_has_the_losses_of_one_with_many(task):
    runs = [[fit(network(), OneBuffer(task, fresh), **SMALL)] for fresh in (True, False)]
    assert_same_runs(*runs)
    tables = [
        sweep([network(), network()], OneBuffer(task, fresh), seed=[0, 1], **SMALL) for fresh in (True, False)
    ]
    assert tables[0].drop_attrs().identical(tables[1].drop_attrs())


def test_what_is_given_stays_as_it_was(arrays):
    for data in (arrays, tuple(map(torch.from_numpy, arrays))):
        before = copy.deepcopy(data)
        fit(InPlace(True).double(), data, loss=spoiling, **SMALL)
        for mine, kept in zip(data, before, strict=True):
            assert np.array_equal(mine, kept)


def test_whoever_watches_changes_nothing(task):
    def meddling(model):
        torch.rand(3), np.random.rand(2)  # noqa: NPY002 - the global one is meant
        model.eval().zero_grad()
        for p in model.parameters():
            p.data.zero_()
        return {"seen": 1.0}

    class Dropped(nn.Sequential):
        pass

    runs = []
    for watch in (meddling, None):
        torch.manual_seed(3)
        runs.append(fit(Dropped(nn.Dropout(0.5), network()), task, watch=watch, **SMALL).history)
    pd.testing.assert_frame_equal(runs[0].drop(columns="seen"), runs[1], check_exact=True)


@pytest.mark.parametrize("broken", [False, True])
def test_every_part_has_its_own_mode_again(task, broken):
    model = nn.Sequential(nn.Dropout(0.5), network()).train()
    model[0].eval()
    if broken:
        with pytest.raises(ValueError, match="x must have shape"):
            fit(model, SameAgain(torch.ones(16, 12, 2)), **SMALL)
    else:
        fit(model, task, **SMALL)
    assert [part.training for part in model] == [False, True]


# --- data sets ----------------------------------------------------------------------------------


class Pairs(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Stream(IterableDataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return iter(zip(self.x, self.y, strict=True))


class Seen(nn.Module):
    """Keeps what it has been given in training and in validation."""

    def __init__(self):
        super().__init__()
        self.network, self.seen = network(), {True: [], False: []}

    def forward(self, x):
        self.seen[self.training].append(x[:, 0, 0].tolist())
        return self.network(x)

    def __repr__(self):
        return "Seen()"


FORMS = {
    "arrays": lambda x, y: (x, y),
    "list": lambda x, y: [x.tolist(), y.tolist()],
    "tensors": lambda x, y: (torch.from_numpy(x), torch.from_numpy(y).requires_grad_()),
    "tensor data set": lambda x, y: TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),
    "data set": Pairs,
}


@pytest.mark.parametrize("form", FORMS)
def test_data_of_any_form_are_trained_on_and_a_tenth_is_held_out(arrays, form):
    model = Seen()
    found = fit(model, FORMS[form](*arrays), **SMALL)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    everything = set(arrays[0][:, 0, 0].astype(np.float32).tolist())
    training, unseen = model.seen[True], model.seen[False]
    assert all(len(set(batch)) == 8 for batch in training)
    unseen = unseen[-1:]
    assert len(unseen[0]) == 4
    trained_on = {value for batch in training for value in batch}
    assert not trained_on & set(unseen[0])
    assert trained_on | set(unseen[0]) == everything
    # the validation loss is that of the sequences held out
    rows = [arrays[0][:, 0, 0].astype(np.float32).tolist().index(v) for v in unseen[0]]
    x, y = (torch.from_numpy(part[rows]).float() for part in arrays)
    with torch.no_grad():
        assert TemporallyWeightedMSE()(network()(x), y).item() == found.history.validation_loss[0]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_one_training(arrays, form):
    first = fit(network(), arrays, validation=arrays, **SMALL)
    other = fit(network(), FORMS[form](*arrays), validation=FORMS[form](*arrays), **SMALL)
    pd.testing.assert_frame_equal(first.history, other.history, check_exact=True)


def test_a_batch_is_no_larger_than_the_data(arrays):
    model = Seen()
    few = tuple(part[:5] for part in arrays)
    fit(model, few, validation=few, **(SMALL | {"batch_size": 100}))
    for batch in [*model.seen[True], model.seen[False][-1]]:
        assert sorted(batch) == sorted(few[0][:, 0, 0].astype(np.float32).tolist())


def loader(data, **options):
    return DataLoader(Pairs(*data), **({"batch_size": 7} | options))


def test_a_loader_gives_its_batches_in_its_order(arrays):
    model = Seen()
    fit(model, loader(arrays), validation=loader(arrays), **(SMALL | {"steps": 13}))
    first = arrays[0][:, 0, 0].astype(np.float32).tolist()
    epoch = [first[i : i + 7] for i in range(0, 40, 7)]
    assert model.seen[True] == (epoch * 3)[:13]
    assert model.seen[False][-1] == first[:16]


def test_the_order_of_a_loader_is_named_by_the_seed(arrays):
    def orders(seed, **options):
        model = Seen()
        torch.manual_seed(len(options))
        before = torch.get_rng_state()
        fit(model, loader(arrays, shuffle=True, **options), validation=arrays, seed=seed, **SMALL)
        assert torch.equal(torch.get_rng_state(), before)
        return model.seen[True]

    whole = sorted(arrays[0][:, 0, 0].astype(np.float32).tolist())
    for options in ({}, {"generator": torch.Generator()}):
        found = orders(0, **options)
        assert found == orders(0, **options) != orders(1, **options)
        epochs = [[v for batch in found[i : i + 6] for v in batch] for i in (0, 6)]
        assert [sorted(epoch) for epoch in epochs] == [whole, whole]
        assert epochs[0] != epochs[1]


@pytest.mark.parametrize("when", [3, 7, 11])
@pytest.mark.parametrize("kind", ["shuffled", "stream"])
def test_a_run_on_a_loader_goes_on_where_it_was(arrays, tmp_path, when, kind):
    def data():
        if kind == "stream":
            return DataLoader(Stream(*arrays), batch_size=7)
        return loader(arrays, shuffle=True)

    class Killed(Seen):
        def forward(self, x):
            if len(self.seen[True]) == when and self.training:
                raise KeyboardInterrupt
            return super().forward(x)

    path = tmp_path / "run.pt"
    options = SMALL | {"validation": arrays}
    whole, resumed = Seen(), Seen()
    uninterrupted = fit(whole, data(), **options)
    with pytest.raises(KeyboardInterrupt):
        fit(Killed(), data(), checkpoint=path, **options)
    found = fit(resumed, data(), checkpoint=path, **options)
    assert resumed.seen[True] == whole.seen[True][when // 4 * 4 :]
    pd.testing.assert_frame_equal(found.history, uninterrupted.history, check_exact=True)
    assert torch.equal(weights(resumed), weights(whole))


# --- models of others ---------------------------------------------------------------------------


def test_a_recurrent_layer_of_torch_is_trained_by_its_sequence(task):
    torch.manual_seed(0)
    alone = nn.LSTM(1, 1, batch_first=True)

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = copy.deepcopy(alone)

        def forward(self, x):
            return self.layer(x)[0]

    wrapped = Sequence()
    chosen = copy.deepcopy(alone)
    runs = [fit(alone, task, **SMALL), fit(chosen, task, output=lambda answer: answer[0], **SMALL)]
    runs.append(fit(wrapped, task, **SMALL))
    assert_same_runs(runs[:2], [runs[2]] * 2)
    assert torch.equal(weights(alone), weights(wrapped))


def test_what_other_libraries_answer_is_understood(task):
    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x):
            return {"loss": None, "logits": self.network(x)}

    assert_same_runs([fit(Answers(), task, **SMALL)], [fit(network(), task, **SMALL)])


class ComplexModel(nn.Module):
    """y = c x with one complex weight, the first of all weights; or its real part."""

    def __init__(self, dtype=torch.complex128, real=False):
        super().__init__()
        self.c, self.real = nn.Parameter(torch.tensor(0.5 + 0.5j, dtype=dtype)), real
        self.dtypes = set()

    def forward(self, x):
        self.dtypes.add(x.dtype)
        return (self.c * x).real if self.real else self.c * x


@pytest.mark.parametrize(
    ("dtype", "real"), [(torch.complex128, torch.float64), (torch.complex64, torch.float32)]
)
def test_complex_models_are_given_real_inputs_in_their_precision(dtype, real):
    task = LinearFunctional([2.0, 0.0, 0.0], 3)  # y = 2 x
    model = ComplexModel(dtype, real=True)
    found = fit(model, task, **(SMALL | {"steps": 400, "learning_rate": 0.05, "validate_every": 50}))
    assert model.dtypes == {real}
    assert model.c.dtype == dtype
    assert abs(model.c.item().real - 2) < 0.01
    assert found.history.validation_loss[0] == pytest.approx(1.5**2, rel=5 * math.sqrt(2 / 48))


def test_complex_errors_count_by_their_modulus_or_are_refused():
    task = LinearFunctional([2.0, 0.0, 0.0], 3)
    modulus = lambda y_hat, y: (y_hat - y).abs().square().mean()  # noqa: E731
    x, _ = task.sample(16, seed=(0, 1), dtype=torch.float64)
    expected = abs(0.5 + 0.5j - 2) ** 2 * x.square().mean().item()
    for loss in (None, modulus):
        found = fit(ComplexModel(), task, loss=loss, **SMALL)
        assert found.history.validation_loss[0] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(TypeError, match="loss must return a real number, got a complex one"):
        fit(ComplexModel(), task, loss=lambda y_hat, y: (y_hat - y).square().mean(), **SMALL)


# --- refusals -----------------------------------------------------------------------------------


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        return self.network(x).detach()


X = torch.ones(4, 12, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "x"}, "model must be a torch.nn.Module, got str"),
        (
            {"model": network().requires_grad_(False)},
            "model has no weights to train: all 4 tensors are frozen",
        ),
        ({"model": nn.LazyLinear(1)}, "model has weights without a shape: call it once"),
        ({"model": Cut()}, "model cuts the gradient between its weights and its answer"),
        ({"task": 3}, "task must be a task with sample.* or a DataLoader, got int"),
        ({"task": X}, "task must be .*, got Tensor"),
        ({"task": LinearFunctional}, "task must be a task with sample.* or a DataLoader, got type"),
        ({"task": (X, X, X)}, "task must be .*, got tuple"),
        ({"task": (X, X[:3])}, r"task must give as many inputs as targets, .* got \(4, 12, 1\) and \(3,"),
        ({"task": (X[:0], X[:0])}, "task must give as many inputs as targets, one at least"),
        ({"task": (X, X * math.nan)}, "task must be finite"),
        ({"task": (X, ["a"] * 4)}, "task must be a pair of arrays of numbers"),
        ({"task": (X[:1], X[:1])}, "task must have two sequences at least"),
        ({"task": TensorDataset(X)}, "task must be .*, got tuple"),
        ({"task": Stream(X, X)}, "task must be .*Stream"),
        ({"task": DataLoader(Pairs(X, X))}, "validation must be given with a DataLoader"),
        ({"task": DataLoader(TensorDataset(X)), "validation": (X, X)}, "task must give pairs of inputs"),
        (
            {"task": DataLoader(Stream([], [])), "validation": (X, X)},
            "task must be a DataLoader with at least",
        ),
        ({"validation": "x"}, "validation must be a task .*, got str"),
        ({"loss": "x"}, "loss must be callable, got str"),
        ({"loss": lambda a, b: 1.0}, "loss must return one number as a tensor, got float"),
        (
            {"loss": TemporallyWeightedMSE(reduction="none")},
            r"loss must return one number .* got shape \(16, 12",
        ),
        ({"output": 0}, "output must be callable, got int"),
        ({"output": lambda answer: 3}, "output.* returns int"),
        ({"watch": 3}, "watch must be callable, got int"),
        ({"watch": lambda m: 3}, "watch must return numbers by name, got int"),
        ({"watch": lambda m: {"a": "x"}}, "watch must return numbers by name, got str for 'a'"),
        ({"watch": lambda m: {"step": 1.0}}, "watch must not name a number 'step', which is a column"),
        ({"watch": lambda m: {"learning_rate": 1.0}}, "watch must not name a number 'learning_rate'"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": 2**32}, r"seed must be below 2\^32, got 4294967296"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"stop_below": "x"}, "stop_below must be a real number, got 'x'"),
        ({"stop_below": math.nan}, "stop_below must be finite"),
        ({"learning_rate": -1}, "learning_rate must be positive"),
        ({"learning_rate": "x"}, "learning_rate must be a real number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"clip": "x"}, "clip must be a real number, got 'x'"),
        ({"schedule": 3}, "schedule must be one of"),
        ({"progress": 1}, "progress must be True or False, got 1"),
        ({"full_precision": "no"}, "full_precision must be True or False, got 'no'"),
        ({"fabric": 3}, "fabric must be a Lightning Fabric that was launched, got int"),
        ({"checkpoint": 3}, "checkpoint must be a path, got int"),
    ],
)
def test_bad_input_is_refused_in_one_line(task, options, message):
    arguments = {"model": network(), "task": task} | SMALL | options
    with pytest.raises((TypeError, ValueError), match=message) as refusal:
        fit(arguments.pop("model"), arguments.pop("task"), **arguments)
    assert "\n" not in str(refusal.value)


# --- models that are no maps --------------------------------------------------------------------


class Wrapped(nn.Module):
    """A network whose answers are spoiled in some way."""

    def __init__(self, spoil):
        super().__init__()
        self.network, self.spoil, self.kept = network(), spoil, None

    def forward(self, x):
        y = self.network(x)
        kept, self.kept = self.kept, y.mean().detach()
        if self.spoil == "random":
            return y + torch.randn_like(y)
        if self.spoil == "keeps state":
            return y if kept is None else y + kept
        if self.spoil == "mixes":
            return y - y.mean(0)
        return y.sum(0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("random", "model answers the same inputs in two ways"),
        ("keeps state", "model answers the same inputs in two ways"),
        ("mixes", "model mixes the sequences of a batch"),
        ("pools", "model must answer 4 sequences with as many answers"),
    ],
)
def test_a_model_that_is_no_map_of_sequences_is_refused(task, spoil, message):
    model = Wrapped(spoil)
    start = weights(model)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        fit(model, task, **SMALL)
    assert torch.equal(weights(model), start)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_that_reads_time_first_is_refused(task):
    with pytest.raises(ValueError, match="is batch_first=True missing"):
        fit(nn.LSTM(1, 1), task, **SMALL)


def test_layers_that_mix_in_training_alone_are_trained(task):
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.norm = network(), nn.BatchNorm1d(1)

        def forward(self, x):
            return self.norm(self.network(x).mT).mT

    assert fit(Normalised(), task, **SMALL).steps == 12
