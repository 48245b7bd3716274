"""A sweep is the same as many fits, and its members do not notice one another."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.experiments.language_models import word_s4d
from curse_of_memory.losses import (
    TemporallyWeightedCrossEntropy,
    TemporallyWeightedMAE,
    TemporallyWeightedMSE,
)
from curse_of_memory.nn import RNN, S4D, SSM, TCN, CausalTransformer, SequenceStack
from curse_of_memory.tasks import Copying, LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.training import fit
from curse_of_memory.training.batched.lockstep import Lockstep
from curse_of_memory.training.batched.sweep import sweep
from tests.devices import DEVICES

SMALL = {"batch_size": 16, "validate_every": 10, "validation_size": 16, "device": "cpu"}
# A few dozens of steps of well-conditioned training. One step sums batch x time x width < 2e3 numbers, each
# rounded to 1.1e-16: 2e-13 in the worst case; steps add up, and curvature amplifies them by a small factor.
SAME = {"rtol": 1e-10, "atol": 1e-10}
EPS = np.finfo(float).eps


@pytest.fixture
def task():
    return LinearFunctional(targets.polynomial(1.1, rate=0.1), 20)


def network(width=3, *, seed=0, **options):
    options = {"activation": "tanh", "dtype": torch.float64} | options
    return RNN(width, seed=seed, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def assert_same_as_fits(models, task, *, loss=None, learning_rate=0.01, seed=0, **options):
    """Train copies one by one; weights, histories, ends and losses must be those of the sweep."""
    alone, options = copy.deepcopy(models), SMALL | options
    table = sweep(models, task, loss=loss, learning_rate=learning_rate, seed=seed, **options)
    options.pop("memory", None)  # which is for the sweep alone
    for i, (model, twin) in enumerate(zip(models, alone, strict=True)):
        one, rate, s = (v[i] if isinstance(v, list) else v for v in (loss, learning_rate, seed))
        found = fit(twin, task, loss=one, learning_rate=rate, seed=s, **options)
        torch.testing.assert_close(weights(model), weights(twin), **SAME)
        mine = table.isel(member=i)
        assert (mine.status.item(), mine.steps.item()) == (found.status, found.steps)
        np.testing.assert_allclose(mine.loss.item(), found.loss, **SAME)
        expected = found.history.rename(columns={"learning_rate": "learning_rate_at"})
        rows = mine[[name for name in expected if name != "step"]].to_dataframe()
        rows = rows.dropna(subset="learning_rate_at").reset_index()
        np.testing.assert_allclose(rows[list(expected)], expected, **SAME)
    return table


# --- the same as one by one ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["linear", "tanh", "hardtanh", "relu"])
@pytest.mark.parametrize("diagonal", [False, True])
def test_members_take_the_trajectories_of_their_own_fits(task, activation, diagonal):
    kinds = [(2, "direct"), (3, "softplus"), (3, "lru")]
    models = [
        network(m, seed=s, activation=activation, parameterization=p, diagonal=diagonal)
        for m, p in kinds
        for s in (0, 1)
    ]
    assert_same_as_fits(models, task, steps=25, seed=[0, 1, 0, 0, 2, 3], learning_rate=0.01)


# two that are equal, all forms of giving a weight, and both places where it may stand
LOSSES = [
    TemporallyWeightedMSE(),
    TemporallyWeightedMSE(2),
    TemporallyWeightedMSE(2, form="inside_square"),
    TemporallyWeightedMSE(math.inf),
    TemporallyWeightedMSE(weight=bias.exponential(-0.3)),
    TemporallyWeightedMSE(weight=lambda t: 1 + t % 3),
    TemporallyWeightedMSE(weight=lambda t: 3 - t % 3),
    TemporallyWeightedMSE(2),
]


def test_learning_rates_and_losses_belong_to_members(task):
    models = [network() for _ in LOSSES]  # of equal weights, so that the loss alone tells them apart
    rates = [0.01] * 7 + [0.02]
    table = assert_same_as_fits(models, task, steps=25, learning_rate=rates, loss=LOSSES)
    assert len({tuple(weights(m).tolist()) for m in models}) == 8
    assert table.loss_weight.values.tolist()[:4] == ["t^0", "t^2", "t^2", "t^inf"]
    assert table.loss_form.values.tolist()[1:3] == ["error", "inside_square"]


def test_one_loss_is_for_all(task):
    assert_same_as_fits([network(seed=s) for s in range(2)], task, steps=15, loss=TemporallyWeightedMSE(1))


def test_weight_decay_and_clipping_are_those_of_fit(task):
    models = [network(seed=s) for s in range(3)]
    for model in models:
        model.output_weight.data *= 30  # so that gradients are clipped
    assert_same_as_fits(models, task, steps=20, weight_decay=0.3, clip=0.1)


def test_the_cosine_is_that_of_fit_at_the_rate_of_each(task):
    models = [network(m, seed=s) for m in (2, 3) for s in (0, 1)]
    table = assert_same_as_fits(
        models, task, steps=25, schedule="cosine", learning_rate=[0.02, 0.01, 0.05, 1e-3], decay_patience=1
    )
    expected = 0.02 * (1 + np.cos(np.pi * np.array([0, 10, 20, 25]) / 25)) / 2
    # products and quotients of a few numbers
    np.testing.assert_allclose(table.learning_rate_at[0], expected, rtol=0, atol=0.02 * 4 * EPS)


def test_a_cosine_goes_on_where_it_was_and_has_its_length(task, tmp_path):
    settings = SMALL | {"steps": 45, "schedule": "cosine"}
    whole, resumed = mixed(), mixed()
    uninterrupted = sweep(whole, task, **settings)
    path = tmp_path / "sweep.pt"
    with pytest.raises(KeyboardInterrupt):
        sweep(mixed(), Interrupted(task, 35), checkpoint=path, **settings)
    found = sweep(resumed, task, checkpoint=path, **settings)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(whole, resumed, strict=True))
    assert found.drop_attrs().identical(uninterrupted.drop_attrs())
    with pytest.raises(ValueError, match="a run with other steps"):
        sweep(mixed(), task, checkpoint=path, **(settings | {"steps": 90}))


@pytest.mark.slow
def test_plateaus_and_patience_are_counted_member_by_member(task):
    models = [network(seed=s) for s in range(5)]
    # at 1e-6 every validation is better, but by less than the plateau of ReduceLROnPlateau; at 1e-12 none is
    rates = [0.3, 0.1, 1e-3, 1e-6, 1e-12]
    patience = {"decay_patience": 1, "patience": 4}
    table = assert_same_as_fits(
        models, task, steps=200, learning_rate=rates, seed=[0, 0, 1, 1, 1], **patience
    )
    assert len(set(table.steps.values.tolist())) > 1
    assert {"stopped early", "finished"} <= set(table.status.values.tolist())
    assert (table.learning_rate_at.isel(member=0).dropna("step") < 0.3).any()


def test_members_that_are_good_enough_go(task):
    models = [network(seed=s) for s in range(3)]
    table = assert_same_as_fits(models, task, steps=60, stop_below=0.6, learning_rate=[0.1, 1e-5, 0.02])
    assert {"reached", "finished"} == set(table.status.values.tolist())


def test_frozen_weights_stay(task):
    models = [network(seed=s) for s in range(2)]
    for model in models:
        model.input_weight.requires_grad_(False)
    before = [model.input_weight.clone() for model in models]
    assert_same_as_fits(models, task, steps=10)
    assert all(torch.equal(a, m.input_weight) for a, m in zip(before, models, strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_can_be_chosen(task, device):
    models = [network(m, seed=s) for m in (2, 3) for s in (0, 1)]
    rates = [0.01, 0.01, 1e-12, 0.01]
    assert_same_as_fits(models, task, steps=30, device=device, learning_rate=rates, patience=1)
    assert {p.device.type for model in models for p in model.parameters()} == {device}


def test_precisions_and_sizes_stand_side_by_side(task):
    models = [network(2), network(3, dtype=torch.float32), network(3, bias=False)]
    sweep(models, task, steps=5, **SMALL)
    assert [weights(m).dtype for m in models] == [torch.float64, torch.float32, torch.float64]


# --- other layers -------------------------------------------------------------------------------


class Averages(nn.Module):
    """Somebody else's layer: ŷ_k = Σ_i c_i z_i(k), z_i(k) = (1 − g_i) z_i(k − 1) + g_i x_k."""

    def __init__(self, width, seed):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.gate = nn.Parameter(torch.randn(width, generator=random, dtype=torch.float64))
        self.readout = nn.Parameter(torch.randn(width, generator=random, dtype=torch.float64))

    architecture = "averages"

    def forward(self, x):
        return self.run_many({name: w[None] for name, w in self.named_parameters()}, x)[0]

    def run_many(self, parameters, x):
        g, z, answers = parameters["gate"].sigmoid()[:, None], 0.0, []
        for x_k in (x if x.ndim == 4 else x[None]).unbind(2):
            z = (1 - g) * z + g * x_k
            answers.append((z * parameters["readout"][:, None]).sum(-1, keepdim=True))
        return torch.stack(answers, 2)


SSMS = [
    {"activation": "tanh"},
    {"initial": "lru", "parameterization": "lru"},
    {"parameterization": "best", "skip": True},
    {"parameterization": "best", "skip": True, "bias": False},
]


@pytest.mark.parametrize("seed", [0, [0, 1, 0, 2]])
@pytest.mark.parametrize(
    "models",
    [
        lambda: [SSM(4, seed=s, dtype=torch.float64, **SSMS[k]) for k in (0, 1) for s in (0, 1)],
        lambda: [SSM(4, seed=s, dtype=torch.float64, **options) for s, options in enumerate(SSMS)],
        lambda: [S4D(1, states=4, seed=s, dtype=torch.float64) for s in range(4)],
        lambda: [Averages(2 + s // 2, s) for s in range(4)],
        lambda: [network(3), Averages(3, 0), SSM(4, seed=0, dtype=torch.float64), Averages(3, 1)],
    ],
    ids=["SSM", "SSM of four kinds", "S4D", "own", "mixed"],
)
def test_any_layer_takes_the_trajectory_of_its_own_fit(task, models, seed):
    table = assert_same_as_fits(models(), task, steps=15, seed=seed, learning_rate=[0.02, 0.01, 1e-12, 0.01])
    assert table.model.values.tolist() == [type(model).__name__ for model in models()]


def test_a_layer_that_ends_or_diverges_leaves_the_others_alone(task):
    models = [Averages(3, s) for s in range(3)]
    models[1].readout.data.fill_(1e200)
    table = assert_same_as_fits(models, task, steps=25, patience=1, learning_rate=[0.02, 0.02, 1e-30])
    assert table.status.values.tolist() == ["finished", "diverged", "not improved"]
    assert table.steps.values.tolist() == [25, 0, 10]


def test_what_all_layers_say_of_themselves_labels_the_table(task):
    alike = sweep([SSM(m, seed=0) for m in (4, 6)], task, steps=1, **SMALL)
    assert alike.width.values.tolist() == [4, 6]
    assert alike.parameterization.values.tolist() == ["direct"] * 2
    assert "diagonal" not in alike.coords
    mixed = sweep([network(3), Averages(3, 0)], task, steps=1, **SMALL)
    assert not {"width", "activation", "parameterization", "diagonal"} & set(mixed.coords)


def test_expected_losses_of_state_space_models_are_descended(task):
    models = [SSM(4, seed=s, dtype=torch.float64) for s in range(2)]
    twins = copy.deepcopy(models)
    table = sweep(models, task, expected=True, steps=15, clip=math.inf, **SMALL)
    for model, twin in zip(models, twins, strict=True):
        optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0)
        for _ in range(15):
            optimizer.zero_grad()
            TemporallyWeightedMSE().expected(**task.linear_error(twin)).backward()
            optimizer.step()
        torch.testing.assert_close(weights(model), weights(twin), **SAME)
    assert set(table.status.values.tolist()) == {"finished"}


class Louder(RNN):
    """Answers otherwise than the many that it runs."""

    def forward(self, x):
        return 1.01 * super().forward(x)


class Shorter(Averages):
    def forward(self, x):
        return super().run_many({name: w[None] for name, w in self.named_parameters()}, x)[0]

    def run_many(self, parameters, x):
        return super().run_many(parameters, x)[:, :, 1:]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Louder(3, seed=0), "models must answer in run_many.. as by themselves, which Louder does not"),
        (Shorter(3, seed=0), "models must answer alike in run_many.., but the shape of one is"),
    ],
)
def test_a_layer_whose_many_answer_otherwise_is_refused(task, model, message):
    with pytest.raises(ValueError, match=message):
        sweep([model], task, steps=1, **SMALL)


class Odd(Averages):
    """Changes what its many answer."""

    def __init__(self, change):
        super().__init__(3, 0)
        self.change = change

    def forward(self, x):
        return super().run_many({name: w[None] for name, w in self.named_parameters()}, x)[0]

    def run_many(self, parameters, x):
        return self.change(super().run_many(parameters, x))


@pytest.mark.parametrize(
    ("change", "refusal", "message"),
    [
        (lambda y: (y,), TypeError, "models must answer in run_many.. with a tensor, Odd does with tuple"),
        (lambda y: None, TypeError, "models must answer in run_many.. with a tensor, Odd does with NoneType"),
        (lambda y: 1 / 0, ValueError, "models must answer in run_many..; Odd: .*division by zero$"),
        (torch.detach, ValueError, "models must use all weights in run_many.., Odd does not use .'gate',"),
    ],
)
def test_a_layer_whose_many_fail_is_refused_in_one_line(task, change, refusal, message):
    with pytest.raises(refusal, match=message):
        sweep([Odd(change)], task, steps=1, **SMALL)


class Many(Averages):
    """Answers as one, and with many in a way of its own."""

    def __init__(self, many):
        super().__init__(2, 0)
        self.many = many

    def forward(self, x):
        return super().run_many({name: w[None] for name, w in self.named_parameters()}, x)[0]

    def run_many(self, parameters, x):
        return self.many(super().run_many, dict(parameters), x)


def first_for_all(run, p, x):
    return run({name: w[:1].expand_as(w) for name, w in p.items()}, x)


def mixed_up(run, p, x):
    return run(p, x) + p["readout"].sum() - p["readout"].sum(-1).reshape(-1, 1, 1, 1)


def for_one_only(run, p, x):
    assert len(p["gate"]) == 1, "one at a time\nplease"
    return run(p, x)


def emptied(run, p, x):
    answers = run(p, x)
    x.zero_()
    return answers


def doubled(run, p, x):
    answers = run(p, x)
    p["gate"].data.mul_(2)
    return answers


@pytest.mark.parametrize(
    ("many", "refusal", "message"),
    [
        (first_for_all, ValueError, "as by themselves, which Many does not$"),
        (mixed_up, ValueError, "as by themselves, which Many does not$"),
        (for_one_only, ValueError, "models must answer in run_many..; Many: AssertionError: one at a time$"),
        (emptied, ValueError, "leave inputs and weights of run_many.. as they are; Many does not$"),
        (doubled, ValueError, "leave inputs and weights of run_many.. as they are; Many does not$"),
        (lambda run, p, x: run(p, x) * math.nan, ValueError, "as by themselves, which Many does not$"),
        (lambda run, p, x: run(p, x) + 0j, TypeError, "real numbers, Many does with torch.complex128$"),
    ],
)
def test_a_layer_whose_many_are_not_many_of_it_is_refused(task, many, refusal, message):
    """Two of equal weights: what is wrong must show all the same."""
    with pytest.raises(refusal, match=message):
        sweep([Many(many), Many(many)], task, steps=1, **SMALL)


def test_what_cannot_run_or_be_told_apart_is_refused_in_one_line(task):
    def broken(self):
        raise RuntimeError("no word\nof it")

    class Incomparable:
        def __hash__(self):
            return 0

        def __eq__(self, other):
            raise RuntimeError("no word\nof it")

    nameless = type("Nameless", (Averages,), {"architecture": property(broken)})
    unlike = type("Unlike", (Averages,), {"architecture": property(lambda self: Incomparable())})
    silent = type("Silent", (Averages,), {"forward": lambda self, x: broken(self)})
    for layer, message in (
        (nameless, "models must have a hashable architecture; Nameless: RuntimeError: no word$"),
        (unlike, "models must have architectures that can be compared; Unlike: "),
        (silent, "models must answer inputs of the task; Silent: RuntimeError: no word$"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep([layer(3, 0), layer(3, 1)], task, steps=1, **SMALL)


def test_a_compiled_layer_is_the_one_inside(task):
    for options in ({}, {"expected": True}):
        plain = [network(3, seed=s, activation="linear") for s in range(2)]
        compiled = [torch.compile(network(3, seed=s, activation="linear"), backend="eager") for s in range(2)]
        tables = [sweep(models, task, steps=10, **options, **SMALL) for models in (plain, compiled)]
        assert tables[0].drop_attrs().equals(tables[1].drop_attrs())
        for one, other in zip(plain, compiled, strict=True):
            assert torch.equal(weights(one), weights(other))


def test_a_linear_layer_that_answers_otherwise_than_by_its_kernel_is_refused(task):
    loud = Louder(3, seed=0, activation="linear")
    with pytest.raises(ValueError, match=r"model must answer by its kernel.., which Louder does not$"):
        sweep([network(3, activation="linear"), loud], task, expected=True, steps=1, **SMALL)


def test_a_member_that_differs_in_more_than_weights_is_refused(task):
    """Its architecture does not say so, and the first one's many would answer for it."""
    first, second = Averages(3, 0), Averages(3, 1)
    second.forward = lambda x: 2 * Averages.forward(second, x)
    with pytest.raises(ValueError, match="as by themselves, which Averages does not"):
        sweep([first, second], task, steps=1, **SMALL)


# --- divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["at once", "in a step", "at a validation"])
def test_a_member_that_diverges_is_frozen_and_the_others_do_not_notice(task, where):
    models = [network(seed=s, activation="linear") for s in range(3)]
    rates, every = [0.01, 0.01, 0.01], {"validate_every": 1 if where == "at a validation" else 10}
    if where == "at once":
        models[1].recurrent_weight.data.fill_(1e200)
    else:
        rates[1] = 1e30
    with_it, without = copy.deepcopy(models), copy.deepcopy([models[0], models[2]])
    table = sweep(with_it, task, steps=30, learning_rate=rates, **(SMALL | every))
    sweep(without, task, steps=30, **(SMALL | every))
    assert table.status.values.tolist() == ["finished", "diverged", "finished"]
    assert torch.equal(weights(with_it[1]), weights(models[1]))
    for mine, other in zip((with_it[0], with_it[2]), without, strict=True):
        torch.testing.assert_close(weights(mine), weights(other), **SAME)
    assert_same_as_fits(models, task, steps=30, learning_rate=rates, **every)


def test_a_gradient_that_is_not_finite_ends_a_member(task):
    models = [network(seed=s, activation="linear") for s in range(2)]
    # errors of 1e120 have finite squares; the gradient by W is their product with states of 1e200
    models[0].input_weight.data.fill_(1e200)
    models[0].output_weight.data.fill_(1e-120)
    table = assert_same_as_fits(models, task, steps=12)
    assert table.status.values.tolist() == ["diverged", "finished"]
    assert table.steps.values.tolist() == [0, 12]


# --- the exact loss -----------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [False, True])
def test_expected_losses_are_descended_as_by_torch(task, diagonal):
    losses = [
        TemporallyWeightedMSE(),
        TemporallyWeightedMSE(2, form="inside_square"),
        TemporallyWeightedMSE(),
    ]
    models = [network(s + 2, seed=s, activation="linear", diagonal=diagonal) for s in (0, 1, 1)]
    twins = copy.deepcopy(models)
    table = sweep(models, task, expected=True, loss=losses, steps=20, clip=math.inf, **SMALL)
    for i, (loss, twin) in enumerate(zip(losses, twins, strict=True)):
        optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0)
        for _ in range(20):
            optimizer.zero_grad()
            loss.expected(**task.linear_error(twin)).backward()
            optimizer.step()
        torch.testing.assert_close(weights(models[i]), weights(twin), **SAME)
        final = loss.expected(**task.linear_error(twin)).item()
        assert table.loss[i].item() == pytest.approx(final, rel=1e-10)


# --- memory -------------------------------------------------------------------------------------


@pytest.fixture
def sizes(monkeypatch):
    """How many models each batched call has had, in training and in validation."""
    seen, run_many = [], RNN.run_many

    def watched(self, parameters, x):
        seen.append(len(parameters["output_weight"]))
        return run_many(self, parameters, x)

    monkeypatch.setattr(RNN, "run_many", watched)
    return seen


def test_as_many_run_at_once_as_there_is_memory_for(task, sizes):
    found = {}
    for memory in (None, 10**5, 1):
        sizes.clear()
        sweep([network(seed=s) for s in range(7)], task, steps=3, memory=memory, **SMALL)
        # each is tried by itself, and two of them together and one after the other
        assert sizes[:10] == [1] * 7 + [2, 1, 1]
        found[memory] = sizes[10:]
    # 16 sequences of 20 steps in float64 are 2560 bytes; inputs, errors and their squares are on the tape of
    # each, and four times that is counted: 30 kB, of which 10⁵ bytes hold some, but no seven
    assert max(found[None]) == 7
    assert max(found[1]) == 1
    assert 2 <= max(found[10**5]) < 7
    # one is measured twice; then all are evaluated, in parts: three steps, two validations
    assert {memory: sum(seen) for memory, seen in found.items()} == dict.fromkeys(found, 2 + 7 * 5)


@pytest.mark.parametrize("memory", [1, 10**5, 2 * 10**5])
def test_memory_is_of_no_consequence_for_what_is_found(task, memory):
    kinds = [("tanh", False), ("linear", True)]
    models = [network(seed=s, activation=a, diagonal=d) for a, d in kinds for s in range(5)]
    plenty, little = copy.deepcopy(models), copy.deepcopy(models)
    options = SMALL | {
        "steps": 30,
        "seed": [0, 1, 1, 0, 2] * 2,
        "learning_rate": [0.01, 1e-12, 1e30, 0.02, 0.03] * 2,
    }
    options |= {"patience": 1, "loss": LOSSES[:5] * 2}
    table = sweep(plenty, task, **options)
    parted = sweep(little, task, memory=memory, **options)
    for a, b in zip(plenty, little, strict=True):
        torch.testing.assert_close(weights(a), weights(b), **SAME)
    for name in table:
        if table[name].dtype == float:
            np.testing.assert_allclose(parted[name], table[name], **SAME)
        else:
            assert parted[name].values.tolist() == table[name].values.tolist()
    assert {"finished", "diverged"} == set(table.status.values.tolist())


def test_expected_losses_are_descended_in_parts_as_well(task):
    models = [network(seed=s, activation="linear") for s in range(5)]
    plenty, little = copy.deepcopy(models), copy.deepcopy(models)
    for chosen, memory in ((plenty, None), (little, 1)):
        sweep(chosen, task, expected=True, steps=20, memory=memory, loss=LOSSES[:5], **SMALL)
    for a, b in zip(plenty, little, strict=True):
        torch.testing.assert_close(weights(a), weights(b), **SAME)


@pytest.mark.parametrize("memory", [None, 1])
def test_models_of_one_seed_share_their_batches_whatever_the_memory(task, memory):
    watched = Interrupted(task, 10**9)
    sweep([network(seed=s) for s in range(4)], watched, steps=3, seed=[0, 1, 0, 1], memory=memory, **SMALL)
    assert 10**9 - watched.draws == 2 * (1 + 3)  # for each seed a validation set and three batches


def test_a_sweep_may_be_resumed_with_other_memory(task, tmp_path):
    whole, resumed = mixed(), mixed()
    sweep(whole, task, steps=45, **MIXED)
    for steps, memory in ((25, None), (45, 1)):
        sweep(resumed, task, steps=steps, memory=memory, checkpoint=tmp_path / "sweep.pt", **MIXED)
    for a, b in zip(whole, resumed, strict=True):
        torch.testing.assert_close(weights(a), weights(b), **SAME)


# --- checkpoints --------------------------------------------------------------------------------


class Interrupted:
    """A task whose draws stop working after a while."""

    def __init__(self, task, draws):
        self.task, self.draws = task, draws

    def __repr__(self):
        return repr(self.task)  # to a checkpoint it is the same task

    def sample(self, *arguments, **options):
        self.draws -= 1
        if self.draws < 0:
            raise KeyboardInterrupt
        return self.task.sample(*arguments, **options)


def mixed():
    """Members that end early, diverge, or go on."""
    models = [network(2 + s // 2, seed=s, activation="linear") for s in range(4)]
    models[1].recurrent_weight.data.fill_(1e200)
    return models


MIXED = SMALL | {"learning_rate": [0.02, 0.01, 1e-12, 0.05], "decay_patience": 1, "patience": 2}


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [11, 19, 20, 37])
def test_a_sweep_that_was_killed_goes_on_along_the_same_trajectory(task, tmp_path, killed_at):
    path = tmp_path / "sweep.pt"
    whole, resumed = mixed(), mixed()
    uninterrupted = sweep(whole, task, steps=45, **MIXED)
    with pytest.raises(KeyboardInterrupt):
        sweep(mixed(), Interrupted(task, killed_at), steps=45, checkpoint=path, **MIXED)
    for model in resumed:
        for p in model.parameters():
            p.data.add_(0.1)  # everything is in the checkpoint: the weights it starts with do not count
    found = sweep(resumed, task, steps=45, checkpoint=path, **MIXED)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(whole, resumed, strict=True))
    assert found.drop_attrs().identical(uninterrupted.drop_attrs())
    assert {"finished", "diverged", "stopped early"} == set(found.status.values.tolist())


def test_a_finished_sweep_can_be_made_longer(task, tmp_path):
    whole, resumed = mixed(), mixed()
    uninterrupted = sweep(whole, task, steps=45, **MIXED)
    for steps in (25, 45):
        found = sweep(resumed, task, steps=steps, checkpoint=tmp_path / "sweep.pt", **MIXED)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(whole, resumed, strict=True))
    assert found.drop_attrs().identical(uninterrupted.drop_attrs())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("learning_rate", {"learning_rate": 0.02}),
        ("seed", {"seed": [0, 1]}),
        ("loss_weight", {"loss": TemporallyWeightedMSE(1)}),
        ("loss_form", {"loss": TemporallyWeightedMSE(form="inside_square")}),
        ("patience", {"patience": 3}),
        ("clip", {"clip": 1.0}),
        ("expected", {"expected": True}),
        ("task", {"task": LinearFunctional([1.0], 1)}),
        (
            "models",
            {"models": [network(3, activation="linear"), network(3, activation="linear", bias=False)]},
        ),
    ],
)
def test_a_checkpoint_of_another_sweep_is_refused(task, tmp_path, name, other):
    path = tmp_path / "sweep.pt"
    arguments = {"models": [network(activation="linear", seed=s) for s in range(2)], "task": task} | SMALL
    sweep(**arguments, steps=1, checkpoint=path)
    with pytest.raises(ValueError, match=rf"checkpoint {path} belongs to a run with other {name}$"):
        sweep(**(arguments | other), steps=1, checkpoint=path)


def test_a_checkpoint_of_a_single_run_is_refused(task, tmp_path):
    path = tmp_path / "run.pt"
    fit(network(), task, steps=1, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match=rf"checkpoint {path} is of a fit, not of a sweep$"):
        sweep([network()], task, steps=1, checkpoint=path, **SMALL)


# --- what comes out, and what goes in -----------------------------------------------------------


def test_results_are_found_by_their_labels(task):
    models = [network(m, activation=a) for m in (2, 3) for a in ("tanh", "linear")]
    table = sweep(models, task, steps=10, learning_rate=[0.1, 0.2, 0.3, 0.4], seed=7, **SMALL)
    one = table.where((table.width == 3) & (table.activation == "linear"), drop=True)
    assert one.learning_rate.values.tolist() == [0.4]
    assert (one.loss_weight.item(), one.seed.item(), one.parameterization.item()) == ("t^0", 7, "direct")
    assert one.validation_loss.dims == ("member", "step")
    assert table.step.values.tolist() == [0, 10]
    assert table.attrs["seconds"] > 0


def test_the_table_can_be_written_and_read(task, tmp_path):
    frame = sweep([network()], task, steps=2, **SMALL).to_dataframe()
    frame.to_csv(Path(tmp_path) / "sweep.csv")
    assert frame.validation_loss.notna().all()


class Pair:
    """A task whose targets have more channels than the models."""

    def __init__(self, channels):
        self.channels = channels

    def sample(self, size, **options):
        return torch.zeros(size, 20, 1, dtype=torch.float64), torch.zeros(size, 20, self.channels)


TWICE = network()
FROZEN = network().requires_grad_(False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": []}, "models must not be empty"),
        ({"models": TWICE}, "models must be a list of layers, got RNN"),
        ({"models": 3}, "models must be a list of layers, got int"),
        ({"models": [FROZEN]}, "models must have weights to train, but all of one are frozen"),
        ({"task": 3}, r"task must be a task with sample\(\), got 3; training.fit takes data"),
        ({"task": Pair(2)}, r"task must give targets of shape \(16, 20, 1\), .* got \(16, 20, 2\)"),
        ({"expected": 1}, "expected must be True or False, got 1"),
        ({"progress": "x"}, "progress must be True or False, got 'x'"),
        ({"schedule": "cosines"}, "schedule must be one of 'plateau', 'cosine'; got 'cosines'"),
        ({"clip": "x"}, "clip must be a real number, got 'x'"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": 2**32}, r"seed must be below 2\^32"),
        ({"stop_below": "x"}, "stop_below must be a real number"),
        ({"learning_rate": [0.1, math.nan]}, "learning_rate must be finite"),
        ({"checkpoint": 3}, "checkpoint must be a path, got int"),
        ({"models": [RNN(2, seed=0).bfloat16()]}, "models must have weights of float32 or"),
        (
            {"models": [torch.nn.Linear(1, 1)]},
            "models must be layers with .* and architecture, got Linear",
        ),
        ({"models": [TWICE, TWICE]}, "models must be different objects"),
        ({"expected": True}, "only linear models have an exact expected loss; one is tanh"),
        ({"learning_rate": [0.1]}, "learning_rate must be one number, or one for each of 2 models, got 1"),
        ({"learning_rate": [0.1, -1]}, "learning_rate must be positive, got -1"),
        ({"loss": [TemporallyWeightedMSE()]}, "loss must be one loss, or one for each of 2 models, got 1"),
        ({"loss": TemporallyWeightedMAE()}, "loss must be a TemporallyWeightedMSE or .*, got TemporallyW"),
        ({"loss": TemporallyWeightedMSE(reduction="sum")}, "loss must be .* with reduction='mean', got"),
        ({"loss": [torch.nn.MSELoss()] * 2}, "loss must be a TemporallyWeightedMSE .* use training.fit"),
        ({"loss": 2}, "loss must be a TemporallyWeightedMSE or .* with reduction='mean', got 2"),
        ({"memory": 0}, "memory must be at least 1"),
        ({"memory": 1e9}, "memory must be a whole number"),
        ({"seed": [0, -1]}, "seed must not be negative, got -1"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"clip": 0}, "clip must be positive, got 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"stop_below": math.nan}, "stop_below must be finite"),
        ({"weight_decay": -1}, "weight_decay must not be negative"),
    ],
)
def test_bad_input_is_refused(task, options, message):
    arguments = {"models": [network(seed=s) for s in range(2)], "task": task, "steps": 1} | SMALL
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(**(arguments | options))


# --- networks of several layers, classes, and what is seen of a training ----------------------------------

NETWORKS = {
    "TCN": lambda **k: TCN([4, 4], 3, **k),
    "transformer": lambda **k: CausalTransformer(4, heads=2, positions="sinusoidal", **k),
    "stack": lambda **k: SequenceStack(lambda width: S4D(width, 4), 4, 2, placement="pre", **k),
}
CLASSES = [
    TemporallyWeightedCrossEntropy(),
    TemporallyWeightedCrossEntropy(2),
    TemporallyWeightedCrossEntropy(2, form="on_logits"),
]


def largest_gradient(model):
    return {"largest": max(p.grad.abs().max().item() for p in model.parameters())}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_choose_classes_take_the_trajectories_of_their_fits(name):
    copying = Copying(1, 4, symbols=2)
    sizes = {"input_size": copying.input_size, "output_size": copying.output_size, "dtype": torch.float64}
    models = [NETWORKS[name](seed=s, **sizes) for s in (0, 1, 2)]
    table = assert_same_as_fits(
        models,
        copying,
        loss=CLASSES,
        steps=13,
        schedule="cosine",
        weight_decay=0.1,
        watch=largest_gradient,
        learning_rate=[0.02, 0.01, 0.02],
        seed=[0, 0, 1],
    )
    assert table.largest.isel(step=0).isnull().all()  # before the first gradient
    assert (table.largest.isel(step=[1, 2]) > 0).all()
    np.testing.assert_allclose(
        table.learning_rate_at.isel(member=0), [0.01 * (1 + math.cos(math.pi * k / 13)) for k in (0, 10, 13)]
    )


def test_ignored_labels_count_for_nothing_in_one_model_and_in_many():
    class Padded(Copying):
        def sample(self, size, **options):
            x, y = super().sample(size, **options)
            y[:, 1::2] = -100
            return x, y

    models = [TCN([3], seed=s, input_size=5, output_size=5, dtype=torch.float64) for s in (0, 1)]
    losses = [TemporallyWeightedCrossEntropy(3), TemporallyWeightedCrossEntropy(1, form="on_logits")]
    assert_same_as_fits(models, Padded(1, 4, symbols=3), loss=losses, steps=3)
    assert_same_as_fits(
        models, Padded(1, 4, symbols=3), validation=Copying(1, 4, symbols=3), loss=losses[0], steps=3
    )
    clocks = [TemporallyWeightedCrossEntropy(3), TemporallyWeightedCrossEntropy(3, clock="batch")]
    assert_same_as_fits(models, Padded(1, 4, symbols=3), loss=clocks, steps=3)


def test_answers_are_scored_at_every_validation(task):
    models = [network(seed=s) for s in (0, 1)]
    table = sweep(
        models, task, score=lambda y_hat, y: {"mse": (y_hat - y).square().mean()}, steps=15, **SMALL
    )
    np.testing.assert_allclose(table.mse, table.validation_loss, rtol=1e-12)
    with pytest.raises(ValueError, match="score must not name a number 'loss'"):
        sweep(models, task, score=lambda y_hat, y: {"loss": 0.0}, steps=1, **SMALL)


def test_what_has_no_batched_form_is_refused(task):
    model, classes = network(), TemporallyWeightedCrossEntropy
    for loss, message in (
        (classes(label_smoothing=0.1), "loss must have no further options, got"),
        (classes(ignore_index=0), "loss must have no further options, got"),
        ([TemporallyWeightedMSE(), classes()], "loss must be of one class for all models"),
    ):
        models = [network(seed=s) for s in range(len(loss))] if isinstance(loss, list) else [model]
        with pytest.raises(TypeError, match=message):
            sweep(models, task, loss=loss, steps=1, **SMALL)
    with pytest.raises(ValueError, match="validation, watch and score must not be given with"):
        sweep([network(activation="linear")], task, expected=True, watch=largest_gradient, **SMALL)
    with pytest.raises(TypeError, match="loss must be a TemporallyWeightedMSE where it is the exact"):
        sweep([network(activation="linear")], task, expected=True, loss=classes(), **SMALL)
    dropped = TCN([3], dropout=0.5, dtype=torch.float64)
    with pytest.raises(ValueError, match="dropout must be 0 to run many models at once"):
        sweep([dropped], task, steps=1, **SMALL)


def test_a_cosine_goes_on_from_its_file_and_has_its_length(task, tmp_path):
    options = {"schedule": "cosine", "watch": largest_gradient, **SMALL}
    whole, half = [network()], [network()]
    sweep(whole, task, steps=20, **options)
    options["checkpoint"] = tmp_path / "file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lockstep, "_descend", stopped_at(12, Lockstep._descend))
        with pytest.raises(KeyboardInterrupt):
            sweep(half, task, steps=20, **options)
    table = sweep(half, task, steps=20, **options)
    assert torch.equal(weights(half[0]), weights(whole[0]))
    assert (table.largest.isel(step=[1, 2]) > 0).all()
    with pytest.raises(ValueError, match="belongs to a run with other steps"):
        sweep(half, task, steps=30, **options)


def stopped_at(step, descend):
    def until(self, group):
        if self.step == step:
            raise KeyboardInterrupt
        descend(self, group)

    return until


def test_layers_of_several_maps_run_as_one_and_those_of_another_family_beside_them(task, monkeypatch):
    seen, run_each = [], S4D.run_each

    def watched(self, layers, *arguments):
        seen.append(len(layers))
        return run_each(self, layers, *arguments)

    monkeypatch.setattr(S4D, "run_each", watched)
    maps = ["exp", "best", "exp", "softplus", "lru"]  # the last gives the multiplier of a step itself

    def stack(name, seed):
        def mixing(width):
            return S4D(width, 4, parameterization=name)

        return SequenceStack(mixing, 3, 2, seed=seed, dtype=torch.float64)

    models = [stack(name, seed) for seed, name in enumerate(maps)]
    assert_same_as_fits(models, task, steps=12, seed=[0, 1, 0, 1, 0])
    assert set(seen) == {4, 2, 1}  # trained, tried together, and the one of the other family
    assert len({model.family for model in models}) == 2
    assert len({model.architecture for model in models}) == 4


def test_words_are_read_by_many_models():
    class Words:
        def sample(self, size, *, seed, device="cpu", dtype=None):
            x = torch.from_numpy(np.random.default_rng(seed).integers(0, 7, (size, 13)))
            return x[:, :-1], x[:, 1:]

    models = [
        word_s4d(7, 4, 1, seed, states=4, parameterization=name).double()
        for seed, name in enumerate(["exp", "best", "relu"])
    ]
    assert_same_as_fits(models, Words(), loss=TemporallyWeightedCrossEntropy(), steps=12, seed=[0, 1, 0])
