"""The map that a module is: what is refused, and what is not though it rounds, wraps or works in place."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import curse_of_memory as com
from curse_of_memory.measure import SequenceMap
from curse_of_memory.tasks import LinearFunctional

LOW = (torch.bfloat16, torch.float16)
HORIZONS = (2, 3, 4, 5, 8, 16, 20, 33, 64)
TASK = LinearFunctional(lambda t: 0.5**t, 12)


class Answer(nn.Module):
    """The model that a function is."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Plus(nn.Module):
    """The first answer of a model, and a constant."""

    def __init__(self, model, constant):
        super().__init__()
        self.model, self.constant = model, constant

    def forward(self, x):
        y = self.model(x)
        return (y[0] if isinstance(y, tuple) else y) + self.constant


def gru(**options):
    torch.manual_seed(0)
    return nn.GRU(1, 4, batch_first=True, **options)


def ahead(x):
    """Return x one step before it comes."""
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1)


def pooled(size):
    """The mean of every `size` steps, at each of them: the last is right, the others are early."""

    def pool(x):
        missing = -x.shape[1] % size
        whole = functional.pad(x, (0, 0, 0, missing)).reshape(len(x), -1, size, x.shape[2])
        return whole.mean(2).repeat_interleave(size, 1)[:, : x.shape[1]]

    return Answer(pool)


def convolved(x, power):
    """Convolve `x` with (1 + s)^−power by FFT, in float32 at least: what comes later leaks by rounding."""
    length = x.shape[1]
    wide = x if x.dtype == torch.float64 else x.float()
    kernel = (1 + torch.arange(length, dtype=wide.dtype)) ** -power
    spectrum = torch.fft.rfft(wide, 2 * length, dim=1) * torch.fft.rfft(kernel, 2 * length)[:, None]
    return torch.fft.irfft(spectrum, 2 * length, dim=1)[:, :length].to(x.dtype)


def tried(model, horizon, dtype=torch.float32, seed=0, **options):
    system = SequenceMap(model.to(dtype), **options)
    return system.check(system.trial(16, horizon, np.ones(1), seed).to(dtype))


# --- causality ----------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize(
    ("build", "dtype"),
    [
        (lambda: gru(bidirectional=True), torch.float32),
        (lambda: Plus(gru(bidirectional=True), 100.0), torch.float32),
        (lambda: Plus(gru(bidirectional=True), 1e4), torch.float32),
        *[(lambda size=size: pooled(size), torch.float32) for size in (2, 3, 4, 7)],
        (lambda: Plus(pooled(4), 100.0), torch.float32),
        (lambda: Answer(lambda x: x + 0.1 * ahead(x)), torch.bfloat16),
        (lambda: Answer(lambda x: x + 0.01 * ahead(x)), torch.float16),
        (lambda: Answer(lambda x: x + 1e-4 * ahead(x)), torch.float32),
        (lambda: Answer(lambda x: convolved(x, 0.5) + 1e-3 * ahead(x)), torch.float32),
        (lambda: Answer(lambda x: torch.cat([x + 1e5, 0.01 * ahead(x)], -1)), torch.float32),
        (lambda: Answer(lambda x: x.flip(1).cumsum(1).sign()), torch.float32),
        (lambda: Answer(lambda x: x - x.mean(1, keepdim=True)), torch.float32),
    ],
)
def test_whoever_sees_the_future_is_refused_at_every_horizon(build, dtype, horizon):
    with pytest.raises(ValueError, match="model is not causal"):
        tried(build(), horizon, dtype)
    assert tried(build(), horizon, dtype, causal=False) is False


@pytest.mark.parametrize("size", [2, 3, 4])
def test_pooling_is_seen_wherever_it_begins(size):
    for first, horizon in itertools.product(range(1, size + 1), (12, 13, 24, 33, 100)):
        pool = pooled(size)
        model = Answer(lambda x: torch.cat([x[:, :first], pool(x[:, first:])], 1))  # noqa: B023
        with pytest.raises(ValueError, match="model is not causal"):
            tried(model, horizon)


@pytest.mark.parametrize(
    ("dtype", "share"), [(torch.bfloat16, 0.1), (torch.float16, 0.02), (torch.float32, 3e-6)]
)
def test_a_leak_below_the_rounding_of_each_entry_is_seen_in_many(dtype, share):
    early = Answer(lambda x: x.cumsum(1) + share * x.mean(1, keepdim=True))
    for seed in range(4):
        with pytest.raises(ValueError, match="model is not causal"):
            tried(early, 24, dtype, seed=seed)


def test_what_works_in_float32_inside_is_no_future():
    for horizon, seed in itertools.product((5, 33, 100), range(2)):
        inside = Answer(lambda x: convolved(x.float() + 10, 0.5).double())
        assert tried(inside, horizon, torch.float64, seed=seed) is True
        early = Answer(lambda x: (convolved(x.float(), 0.5) + 1e-3 * ahead(x.float())).double())
        assert tried(early, horizon, torch.float64, seed=seed, causal=False) is False


CAUSAL = [
    lambda: gru(num_layers=2),
    lambda: Plus(nn.LSTM(1, 4, batch_first=True), 1000.0),
    lambda: nn.Sequential(nn.Linear(1, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)),
    lambda: Answer(lambda x: convolved(x, 0.5)),
    lambda: Plus(Answer(lambda x: convolved(x, 1.5)), 1000.0),
    lambda: Answer(lambda x: convolved(convolved(x, 0.5).relu(), 0.5)),
    lambda: Answer(
        lambda x: functional.layer_norm(torch.cat([convolved(x, 1), convolved(x + 9, 0.5)], -1), (2,))
    ),
    lambda: Answer(lambda x: x.roll(1, 1) * 0),
    lambda: Answer(lambda x: x.cumsum(1).sign()),
]


def test_a_long_sequence_is_tried_at_its_beginning():
    lengths = []

    class Sum(torch.nn.Module):
        def forward(self, x):
            lengths.append(x.shape[1])
            return x.cumsum(1)

    class Mean(Sum):
        def forward(self, x):
            return super().forward(x) + 0.1 * x.mean(1, keepdim=True)

    com.memory_function(Sum(), 5000, probe="impulse")
    assert sorted(set(lengths)) == [2048, 5000]
    with pytest.raises(ValueError, match="not causal"):
        com.memory_function(Mean(), 5000, probe="impulse")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *LOW])
@pytest.mark.parametrize("build", CAUSAL)
def test_rounding_is_no_future(build, dtype):
    for horizon, seed in itertools.product((1, 2, 5, 33, 100), range(2)):
        assert tried(build(), horizon, dtype, seed=seed) is True


@pytest.mark.parametrize(
    "build",
    [
        lambda: Answer(lambda x: convolved(x + 1000, 0.5)),
        lambda: Answer(lambda x: convolved(x + 1000, 0.5) - convolved(torch.full_like(x, 1000), 0.5)),
        lambda: com.nn.S4D(1, parameterization="best", seed=0),
        lambda: com.nn.SequenceStack(com.nn.S4D, width=4, layers=2, seed=0),
        lambda: com.nn.RNN(4, diagonal=True, seed=0),
        lambda: com.nn.SSM(4, seed=0),
        lambda: com.nn.CausalTransformer(4, heads=2, layers=2, seed=0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_of_constants_inside_is_no_future(build, dtype):
    for horizon, seed in itertools.product((2, 5, 33, 100), range(2)):
        assert tried(build(), horizon, dtype, seed=seed) is True


def transformers_models():
    transformers = pytest.importorskip("transformers")
    tokens = {"vocab_size": 20, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    torch.manual_seed(0)
    yield transformers.GPT2Model(
        transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, n_positions=24, use_cache=False, **tokens)
    )
    yield transformers.MambaModel(
        transformers.MambaConfig(hidden_size=8, num_hidden_layers=2, state_size=4, use_cache=False, **tokens)
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_language_models_are_causal(dtype):
    for model in transformers_models():
        assert tried(model, 24, dtype) is True
        ids = torch.arange(6 * 24).reshape(6, 24) ** 2 % 19
        assert SequenceMap(model).check(ids) is True  # tokens as such


# --- each sequence by itself, alike at every call ------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 4, 5, 16, 17])
@pytest.mark.parametrize("constant", [0.0, 100.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.cumsum(0),
        lambda x: x.flip(0).cumsum(0).flip(0),
        lambda x: (x - x.mean(0)) / x.std(0),
        lambda x: x + 0.01 * x.roll(1, 0),
        lambda x: x / x.abs().max(),
    ],
)
def test_who_mixes_the_sequences_of_a_batch_is_refused(function, constant, horizon):
    with pytest.raises(ValueError, match="model mixes the sequences of a batch"):
        tried(Plus(Answer(function), constant), horizon)


def test_a_model_that_reads_time_first_is_refused_whatever_it_adds():
    torch.manual_seed(0)
    hidden = nn.Sequential(nn.GRU(1, 4))  # does not say so itself
    with pytest.raises(ValueError, match="mixes the sequences of a batch"):
        tried(Plus(hidden, 100.0), 20)


class Stateful(nn.Module):
    """h is where the last call left it."""

    def __init__(self):
        super().__init__()
        self.h = 0.0

    def forward(self, x):
        y = x.cumsum(1) + self.h
        self.h = y[:, -1:].detach().mean()
        return y


class Toggling(Stateful):
    def forward(self, x):
        self.h = 1 - self.h
        return x + self.h


@pytest.mark.parametrize(
    "build",
    [
        lambda: Answer(lambda x: functional.dropout(x, 0.1)),
        lambda: Answer(lambda x: functional.dropout(x, 0.1) + 100),
        lambda: Answer(lambda x: x + 0.01 * torch.randn_like(x) + 100),
        Stateful,
        Toggling,
    ],
)
def test_who_answers_the_same_in_two_ways_is_refused_everywhere(build):
    message = "random in evaluation mode, or keeps state"
    with pytest.raises(ValueError, match=message):
        com.memory_function(build(), 10)
    with pytest.raises(ValueError, match=message):
        com.gradient_norms(build(), 10)
    for measure in (
        lambda model: com.perturbation_curve(model, TASK, [0.1], samples=8),
        lambda model: com.stability_margin(model, TASK, samples=8),
    ):
        model = build()
        model.weight = nn.Parameter(torch.ones(1))
        with pytest.raises(ValueError, match=message):
            measure(model)


def test_torch_s_own_random_numbers_are_those_that_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(ValueError, match="random"):
        tried(Answer(lambda x: x + torch.randn_like(x)), 8)
    assert torch.equal(torch.rand(3), expected)


class Counting(nn.Module):
    """Counts its calls in a buffer, in place, and writes every answer into one tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.store = {}

    def forward(self, x):
        self.calls += 1
        return self.store.setdefault(x.shape, torch.empty_like(x)).copy_(x.cumsum(1))


def test_counters_and_stores_are_no_state_and_are_left_as_they_were():
    model = Counting()
    assert com.memory_function(model, 5, probe="impulse").values.tolist() == [1, 1, 1, 1, 1]
    assert model.calls.item() == 0


@pytest.mark.parametrize("model", [gru(bidirectional=True), pooled(4), Plus(pooled(4), 100.0)])
def test_the_guards_stand_before_every_measurement(model):
    model.weight = nn.Parameter(torch.ones(1))
    for measure in (
        lambda model: com.memory_function(model, 8),
        lambda model: com.gradient_norms(model, 8),
        lambda model: com.perturbation_curve(model, TASK, [0.1], samples=8),
        lambda model: com.stability_margin(model, TASK, samples=8),
        lambda model: com.memory_report([model], 8),
    ):
        with pytest.raises(ValueError, match="model is not causal"):
            measure(model)
    free = SequenceMap(model, causal=False)
    assert com.memory_function(free, 8).attrs["causal"] is False
    assert com.gradient_norms(free, 8)["mean"][0] > 0


def test_a_map_that_was_tried_is_not_tried_again():
    counted = []
    model = gru()
    model.register_forward_hook(lambda *_: counted.append(1))
    memory, at_first = com.memory_function(model, 8), len(counted)
    again = com.memory_function(SequenceMap(model, tried=True), 8)
    assert again.identical(memory)
    assert len(counted) - at_first == 4  # for the size of the answer, the answer, and twice for its noise
    assert at_first > 8


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_inputs_that_are_all_alike_hide_nothing(value, count):
    x = torch.full((count, 12, 1), value)
    assert SequenceMap(gru()).check(x) is True
    with pytest.raises(ValueError, match="not causal"):
        SequenceMap(gru(bidirectional=True)).check(x)
    if count > 1:
        with pytest.raises(ValueError, match="mixes"):
            SequenceMap(Answer(lambda x: x.cumsum(0))).check(x)


def test_answers_that_are_no_sequences_are_asked_for_less():
    x, classes = torch.randn(8, 12, 1), torch.zeros(8, dtype=torch.long)
    last = Answer(lambda x: x.cumsum(1)[:, -1].repeat(1, 3))
    assert SequenceMap(last).check(x, classes) is True
    with pytest.raises(ValueError, match=r"answers \(3, 12, 1\) with shape \(3, 3\)"):
        SequenceMap(last).check(x, x)
    with pytest.raises(ValueError, match="must answer every sequence of a batch"):
        SequenceMap(Answer(lambda x: x.mean())).check(x, classes)
    with pytest.raises(ValueError, match="mixes"):
        SequenceMap(Answer(lambda x: x.mean() * x[:, -1])).check(x, classes)


def test_the_report_names_the_model_that_it_refuses():
    models = {"plain": gru(), "both ways": gru(bidirectional=True)}
    with pytest.raises(ValueError, match=r"^models\['both ways'\]: model is not causal"):
        com.memory_report(models, horizon=8)


@pytest.mark.parametrize("dtype", ["float64", torch.int32, torch.complex64, np.float64])
@pytest.mark.parametrize("measure", [com.memory_function, com.gradient_norms])
def test_a_precision_is_a_dtype_of_real_numbers(measure, dtype):
    with pytest.raises(TypeError, match=r"^dtype must be a torch.dtype of real numbers, .*got [^\n]*$"):
        measure(gru(), horizon=4, dtype=dtype)
