"""What every task keeps to, so that it can be trained on and measured with."""

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.protocols import LinearTask, Task
from curse_of_memory.tasks import (
    Adding,
    AttentionApproximation,
    Copying,
    FitzHughNagumo,
    HeartRate,
    LinearFunctional,
    Pointwise,
    SequentialImages,
    TeacherFilter,
    VolterraFunctional,
    WikiText2,
    random_rnn,
    random_transformer,
)
from curse_of_memory.tools import checks
from curse_of_memory.training import fit
from tests.devices import DEVICES

STEPS = np.arange(6)


class Recurrent(nn.Module):
    """A GRU with a readout at every step, or after the last one; of tokens or of numbers."""

    def __init__(self, task, tokens: bool, last: bool):
        super().__init__()
        torch.manual_seed(0)
        self.read = nn.Embedding(task.output_size, 6) if tokens else nn.Linear(task.input_size, 6)
        self.gru, self.say = nn.GRU(6, 8, batch_first=True), nn.Linear(8, task.output_size)
        self.last = last

    def forward(self, x):
        y = self.say(self.gru(self.read(x))[0])
        return y[:, -1] if self.last else y


NUMBERS = {
    "linear": lambda: LinearFunctional(0.5**STEPS, 6),
    "volterra": lambda: VolterraFunctional(6, first=0.5**STEPS, second=[(0.5**STEPS, 0.7**STEPS)]),
    "attention": lambda: AttentionApproximation(2, 6, projected=True),
    "pointwise": lambda: Pointwise(torch.sin, 6),
    "rnn teacher": lambda: TeacherFilter(random_rnn(8, 0), 6, normalized=True),
    "transformer teacher": lambda: TeacherFilter(random_transformer(8, 2, 8, 0), 6, input_size=1),
    "neuron": lambda: FitzHughNagumo(6),
    "copying digits": lambda: Copying(2, 3, encoding="raw"),
}
ONCE = {  # numbers as the answer to a whole sequence
    "adding": lambda: Adding(6),
    "heart": lambda: HeartRate(samples=96, averaged=16, normalised=True),
}
CLASSES = {
    "copying": lambda: Copying(2, 3),
    "images": lambda: SequentialImages("mnist", row_by_row=True),
    "text": lambda: WikiText2(sequence_length=6),
}
EVERY = {**NUMBERS, **ONCE, **CLASSES}
AT_THE_END = ("adding", "heart", "images")


@pytest.mark.parametrize("name", {**NUMBERS, **ONCE, "images": None})
def test_numbers_are_not_cut_to_whole_ones(make, name):
    with pytest.raises(ValueError, match=r"dtype must be a floating-point or complex one, got torch\.int64"):
        make(name).sample(2, seed=0, dtype=torch.int64)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("device", ["nowhere", "auto", 3.5])
def test_a_device_that_is_none_is_refused_in_one_line(make, name, device):
    with pytest.raises(
        ValueError, match=r"^device must be '(auto', ')?cpu'.*got '?(nowhere|auto|3\.5)"
    ) as refusal:
        make(name).sample(2, seed=0, device=device)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", {**NUMBERS, **ONCE, "images": None})
def test_a_dtype_that_is_none_is_refused_in_one_line(make, name):
    with pytest.raises(TypeError, match=r"^dtype must be a torch\.dtype, got 'float32'$"):
        make(name).sample(2, seed=0, dtype="float32")


@pytest.mark.parametrize("name", EVERY)
def test_it_fulfils_the_protocol_and_its_class_does_not(make, name):
    task = make(name)
    assert checks.fulfils(task, Task)
    assert checks.fulfils(task, LinearTask) == (name == "linear")
    assert not checks.fulfils(type(task), Task)


@pytest.fixture
def make(small_mnist, small_wikitext, small_bidmc):
    """Make a task by name; the files are small ones."""
    return lambda name: EVERY[name]()


def model_and_loss(name, task):
    model = Recurrent(task, tokens=name == "text", last=name in AT_THE_END)
    if name in NUMBERS:
        return model, None
    if name in ONCE:
        return model, nn.MSELoss()
    return model, nn.CrossEntropyLoss() if name == "images" else TemporallyWeightedCrossEntropy(1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", EVERY)
def test_equal_seeds_give_equal_batches_on_every_device(make, name, device):
    task = make(name)
    first, again, other = (
        task.sample(9, seed=seed, device=device, dtype=torch.float64) for seed in ((3, 1), (3, 1), (3, 2))
    )
    on_cpu = make(name).sample(9, seed=(3, 1), dtype=torch.float64)
    for found, same, known in zip(first, again, on_cpu, strict=True):
        assert found.device.type == device
        assert torch.equal(found, same)
        torch.testing.assert_close(found.cpu(), known, rtol=1e-9, atol=1e-9)
    assert torch.equal(first.inputs.cpu(), on_cpu.inputs)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("name", EVERY)
def test_shapes_and_types(make, name):
    task = make(name)
    x, y = task.sample(9, seed=0)
    tokens = name == "text"
    assert x.shape == ((9, task.horizon) if tokens else (9, task.horizon, task.input_size))
    assert x.dtype == (torch.int64 if tokens else torch.get_default_dtype())
    if name in NUMBERS or name in ONCE:
        assert y.shape == ((9, task.output_size) if name in ONCE else (9, task.horizon, task.output_size))
        assert y.dtype == x.dtype
        double = task.sample(9, seed=0, dtype=torch.float64)
        assert double.targets.dtype == torch.float64
        torch.testing.assert_close(double.inputs.float(), x)
        torch.testing.assert_close(double.targets.float(), y, rtol=1e-4, atol=1e-5)
    else:
        assert y.shape == ((9,) if name == "images" else (9, task.horizon))
        assert y.dtype == torch.int64
        assert 0 <= y.min() <= y.max() < task.output_size


@pytest.mark.parametrize("name", EVERY)
def test_the_global_generators_are_left_alone(make, name):
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy one is meant
    make(name).sample(4, seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("name", EVERY)
def test_the_repr_names_the_task(make, name):
    """Checkpoints compare it."""
    assert repr(make(name)) == repr(make(name))
    assert "object at" not in repr(make(name))
    assert len({repr(make(other)) for other in EVERY}) == len(EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_it_can_be_trained_on_and_measured_with(make, name):
    task = make(name)
    model, loss = model_and_loss(name, task)
    before, after = (
        fit(
            model,
            task,
            loss=loss,
            steps=steps,
            batch_size=16,
            validate_every=steps,
            validation_size=64,
            device="cpu",
        )
        for steps in (1, 25)
    )
    assert after.loss < before.loss
    curve = perturbation_curve(
        model, task, [0.0, 0.5], draws=2, ball="public_code", loss=loss, samples=32, device="cpu"
    )
    assert curve.error[1] >= curve.error[0] > 0
    assert np.isfinite(curve.error).all()
