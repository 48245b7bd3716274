"""The relief of a vanishing gradient: closed form, autograd, sampled."""

import mpmath
import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.papers.interest import gradient_norms as gn
from curse_of_memory.tasks import LinearFunctional

HORIZON, POWERS = 30, (0, 2, 10)


@pytest.fixture(scope="module")
def found():
    return gn.data(
        horizon=HORIZON,
        powers=POWERS,
        lags=(1, 12, 29),
        multipliers=(0.95,),
        samples=1500,
        width=2,
        steps=40,
        batch_size=16,
        seeds=2,
    )


@pytest.mark.parametrize("power", POWERS)
def test_the_formula_is_the_gradient_of_the_expected_loss(power):
    multiplier, coefficient = 0.7, 1.3
    rho = np.random.default_rng(0).standard_normal(HORIZON)
    model = RNN.from_exponential_sum(rates=[-np.log(multiplier)], coefficients=[coefficient])
    task = LinearFunctional(rho, HORIZON)
    loss = TemporallyWeightedMSE(power).expected(**task.linear_error(model))
    (slope,) = torch.autograd.grad(loss, model.recurrent_weight)
    formula = gn.eigenvalue_gradient(multiplier, coefficient, rho, power)
    # sums of 30 terms, each of a few operations
    assert formula == pytest.approx(slope.item(), rel=1e3 * np.finfo(float).eps)


def test_the_largest_gradient_is_the_largest_of_all_lags():
    """At 50 digits, for T = 100, p = 10 and λ = 4/5."""
    with mpmath.workdps(50):
        horizon, p, lam = 100, 10, mpmath.mpf(4) / 5
        weights = [mpmath.mpf(t) ** p for t in range(1, horizon + 1)]
        b = [sum(weights[d:]) for d in range(horizon)]
        sizes = [2 * b[d] / b[0] * d * lam ** (d - 1) for d in range(1, horizon)]
        fall = float(max(sizes) / sizes[-1])
        first = float(max(sizes))
    gradients = gn.missed_memory_gradients(horizon, 0.8, 10)
    assert gradients.max() == pytest.approx(first, rel=1e-12)
    assert gradients.max() / gradients[-1] == pytest.approx(fall, rel=1e-12)
    assert fall == pytest.approx(6.24e8, rel=1e-3)
    for lag in (1, 4, 99):
        rho = 0.8 ** np.arange(horizon) + (np.arange(horizon) == lag)
        slope = gn.eigenvalue_gradient(0.8, 1.0, rho, 10)
        assert gradients[lag] == pytest.approx(abs(slope), rel=1e-6)


@pytest.mark.parametrize("power", [0.5, 1, 10])
def test_relief_is_one_at_lag_zero_rises_and_stays_below_p_plus_one(power):
    relief = gn.relief(HORIZON, power)
    assert relief[0] == pytest.approx(1, rel=1e-14)
    assert (np.diff(relief) > 0).all()
    assert relief[-1] < power + 1
    # (1 − x^{p+1})/(1 − x) at x = s/T: sums for integrals, off by O(1/T) where p is small against T
    x = np.arange(3000) / 3000
    continuous = (1 - x ** (power + 1)) / (1 - x)
    assert np.abs(gn.relief(3000, power) / continuous - 1).max() < power / 300


def test_relief_does_not_depend_on_the_eigenvalue():
    for multiplier in (0.5, 0.99):
        rho = multiplier ** np.arange(HORIZON) + (np.arange(HORIZON) == 20)
        weighted, plain = (gn.eigenvalue_gradient(multiplier, 1.0, rho, p) for p in (10, 0))
        # what is right at all other lags is so up to rounding
        assert weighted / plain == pytest.approx(gn.relief(HORIZON, 10)[20], rel=1e-8)


@pytest.mark.parametrize("panel", ["vanishing", "relief"])
def test_sampled_gradients_are_within_their_errors_of_the_exact_ones(found, panel):
    rows = found.table[found.table.panel == panel]
    exact, sampled = (rows[rows.kind == kind].set_index(["p", "x"]) for kind in ("exact", "sampled"))
    far = (sampled.value - exact.value).abs()
    assert (far <= 5 * sampled.standard_error + 1e-12).all()
    # the errors are small enough for that to say something
    late = sampled.xs(12, level="x")
    assert (late.standard_error < 0.3 * late.value.abs()).all()


def test_training_has_exact_and_sampled_norms_of_the_same_start(found):
    rows = found.table[found.table.panel == "training"]
    assert rows.groupby(["p", "seed", "kind"]).size().eq(40 // gn.SMOOTHED).all()
    assert len(rows) == len(POWERS) * 2 * 2 * 40 // gn.SMOOTHED
    first = rows[rows.x == rows.x.min()].groupby(["kind", "p"]).value.median()
    # a batch of 16 sequences of a loss that is of order one: the same norm within a factor of three
    ratio = first["sampled"] / first["exact"]
    assert ((ratio > 1 / 3) & (ratio < 3)).all()
    assert first["exact"].is_monotonic_increasing


def test_the_spread_is_over_the_medians_of_each_training(found, expect_spread):
    rows = found.table[(found.table.panel == "training") & (found.table.kind == "sampled")]
    (first, _) = sorted(set(rows.x))  # two blocks of steps: the first half is one of them
    early = rows[(rows.x == first) & (rows.p == 2)].set_index("seed").value
    label = "median norm in the first half of training, sampled, p = 2"
    expect_spread(found, label, [early[0], early[1]])
    assert set(found.spread) == {name for name in found.headline if name.startswith("median norm")}


def test_the_norm_of_the_exact_descent_begins_at_the_gradient_of_the_start():
    model = RNN(2, diagonal=True, seed=3, dtype=torch.float64)
    task = LinearFunctional(np.ones(HORIZON), HORIZON)
    loss = TemporallyWeightedMSE(2).expected(**task.linear_error(model))
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    norm = torch.cat([slope.flatten() for slope in slopes]).norm().item()
    assert gn._exact_norms(task, 2, 2, 3, 1, 0.01)[0] == pytest.approx(norm, rel=1e-6)  # float32 start


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes(found):
    figure = gn.plot(found)
    assert len(figure.axes) == 3
    assert all(axis.get_xlabel() and axis.get_ylabel() and axis.lines for axis in figure.axes)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lags": (100,)}, "lags"),
        ({"lags": ()}, "lags"),
        ({"multipliers": (1.0,)}, "multipliers"),
        ({"seeds": 0}, "seeds"),
        ({"samples": 0}, "samples"),
    ],
)
def test_bad_arguments_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        gn.data(**wrong)
