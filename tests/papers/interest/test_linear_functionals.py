"""What models learn of a memory, against what the expected loss says they should."""

import numpy as np
import pytest

from curse_of_memory.papers.interest import linear_functionals as lf
from curse_of_memory.theory import bias

HORIZON = 24  # below 25 lags all of them are in the table


@pytest.fixture(scope="module")
def found():
    return lf.data(
        horizon=HORIZON, powers=(0, 10), seeds=2, recurrent_steps=40, steps=4, batch_size=8, samples=32
    )


@pytest.fixture(scope="module")
def exact(found):
    curves = found.table[(found.table.panel == "memory") & (found.table.training == "exact")]
    return curves[curves.target == "polynomial"].pivot(index="lag", columns="p", values=["memory", "rho"])


def test_two_minimisers_obey_each_others_loss(exact):
    """E_p(θ_p) ≤ E_p(θ_q) for both, so Σ (b^q − b^p)(Δ_q² − Δ_p²) ≤ 0: the claim as a theorem."""
    miss = (exact.memory - exact.rho) ** 2
    b = {p: bias.power(p).discrete(HORIZON, normalize="head") for p in (0, 10)}
    for p, q in ((0, 10), (10, 0)):
        assert b[p] @ miss[p] < b[p] @ miss[q]
    assert (b[10] - b[0]) @ (miss[10] - miss[0]).to_numpy() < 0


def test_a_larger_power_moves_the_error_of_the_linear_rnn_to_short_lags(found):
    errors = lf.range_errors(found.table, "polynomial", "linear RNN", "exact").droplevel("seed")
    assert errors.long[10.0] < 0.9 * errors.long[0.0]
    assert errors.short[10.0] > 1.05 * errors.short[0.0]


def test_what_the_model_can_have_does_not_depend_on_the_weight(found):
    errors = lf.range_errors(found.table, "exponential", "linear RNN", "exact")
    assert errors.to_numpy().max() < 1e-6  # Gauss-Newton stops at a relative change of 1e-12 of the loss


def test_every_run_is_in_the_table_and_every_model_in_print(found):
    errors = found.table[found.table.panel == "error"].error
    # two targets, two ranges, two powers: five models from two seeds, and one exact training
    assert len(errors) == 2 * 2 * 2 * (5 * 2 + 1)
    assert np.isfinite(errors).all()
    assert found.printed.shape == (2 * 6, 2)
    first = lf.range_errors(found.table, "polynomial", "TCN", "sampled").short[0.0]
    low, high = (f"{100 * v:.2g}" for v in (first.min(), first.max()))
    assert found.printed.loc["polynomial: TCN", "$p=0$"].startswith(f"{low}–{high} / ")


def test_the_spread_is_over_the_ratios_of_each_run_and_of_sampled_trainings_only(found, expect_spread):
    rows = found.table[(found.table.target == "polynomial") & (found.table.model == "TCN")]
    errors = rows[rows.range == "long"].set_index(["p", "seed"]).error
    ratios = [errors[10.0, seed] / errors[0.0, seed] for seed in (0, 1)]
    expect_spread(found, "TCN, sampled: error at long lags, p = 10 over p = 0", ratios)
    assert set(found.spread) == {label for label in found.headline if ", sampled: " in label}


def test_errors_are_those_of_the_memories(found):
    rows = found.table[(found.table.model == "SSM") & (found.table.p == 10) & (found.table.seed == 1)]
    rows = rows[rows.target == "exponential"]
    late = rows[(rows.panel == "memory") & (rows.lag >= HORIZON // 2)]
    error = np.linalg.norm(late.memory - late.rho) / np.linalg.norm(late.rho)
    assert rows[rows.range == "long"].error.item() == pytest.approx(error, rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes(found):
    figure = lf.plot(found)
    assert len(figure.axes) == 15
    assert all(axis.get_xlabel() and axis.lines for axis in figure.axes)


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"samples": 0}, {"powers": ("x",)}])
def test_bad_arguments_are_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        lf.data(horizon=8, **wrong)
