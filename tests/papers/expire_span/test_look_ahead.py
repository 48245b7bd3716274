"""What the panels of look-ahead say, in numbers, at a small size."""

import numpy as np
import pytest

from curse_of_memory.papers.expire_span import look_ahead as figure
from curse_of_memory.report.long_table import rows
from curse_of_memory.theory.expiry import learnt_span, span_loss


@pytest.fixture(scope="module")
def found():
    return figure.data(
        largest_gap=18,
        updates=2000,
        stochastic_updates=800,
        draws=4000,
        seeds=2,
        delays=(4, 12),
        longest_delay=12,
        trained_updates=30,
        trainings=2,
        device="cpu",
    )


def test_gaps_below_the_ramp_are_learnt_and_others_not(found):
    gaps = np.arange(1, 19)
    for kind in ("theory", "descent"):
        ends = rows(found.table, panel="gap", kind=kind)
        np.testing.assert_allclose(ends.y, np.where(gaps <= 15, 20 + gaps, 20), atol=1e-3)
    assert found.headline["largest gap learnt, descent"] == 15
    assert (rows(found.table, panel="gap", kind="descent").y[-3:] <= 20).all()


def test_noise_carries_a_span_no_farther_than_its_steps(found):
    """Beyond lag 20 nothing pulls, so that noise cannot, either, from gaps of R + 1 on."""
    noisy = rows(found.table, panel="gap", kind="stochastic").pivot(index="seed", columns="x", values="y")
    assert len(noisy) == 2
    near = noisy.loc[:, :15]
    assert (np.abs(near - 20 - near.columns) < 0.2).to_numpy().all()
    assert ((noisy[[17, 18]] >= 20 - 0.2) & (noisy[[17, 18]] < 21)).to_numpy().all()


def test_the_mean_gradient_of_random_inputs_is_the_slope(found):
    for name in ("8", "15", "16", "30"):
        line = rows(found.table, panel="pull", curve=name, kind="theory")
        marks = rows(found.table, panel="pull", curve=name, kind="stochastic")
        exact = np.interp(marks.x, line.x, line.y)
        # products of two normal numbers that are at most 16 lags each
        assert (np.abs(marks.y - exact) < 5 * (0.1 + exact) * 2 / np.sqrt(4000)).all()
    dead = rows(found.table, panel="pull", curve="30")
    assert not dead[(dead.x > 20.01) & (dead.x < 33.99)].y.any()


def test_a_single_delay_is_learnt_from_near_starts(found):
    ends = rows(found.table, panel="start", kind="descent")
    start, end = ends.x.to_numpy(), ends.y.to_numpy()
    far = start <= 44
    assert (end[far] == start[far]).all()
    inside = ~far & (start < 60)
    np.testing.assert_allclose(end[inside], 60, atol=0.1)
    assert (end[start >= 60] == start[start >= 60]).all()


def test_the_bump_is_worth_it_long_before_it_is_learnt(found):
    worth, learnt = (
        found.headline[f"price at which {it}"] for it in ("the bump is worth it", "it is learnt")
    )
    assert worth > 100 * learnt
    price = rows(found.table, panel="price")
    rho = np.exp(-np.arange(600) / 20)
    rho[120:125] += 0.3
    exact = [learnt_span(span_loss(rho, 16), 5.0, alpha) for alpha in rows(price, kind="descent").x]
    np.testing.assert_allclose(rows(price, kind="descent").y, exact, rtol=1e-6)


def test_trained_transformers_guess_what_their_layer_does_not_see(found):
    line = rows(found.table, panel="error", kind="theory")
    assert line.y.tolist() == [0.0] * 9 + [0.5] * 3  # R − 1 + 6 steps
    errors = rows(found.table, panel="error", kind="trained")
    seen, unseen = (rows(errors, curve=f"{delay}, 1") for delay in (4, 12))
    assert len(seen) == len(unseen) == 2
    assert (seen.y < 0.05).all()
    assert (np.abs(unseen.y - 0.5) < 5 * 0.5 / np.sqrt(400)).all()
    assert found.spread["error after exactly 12 steps, 1 layer"].runs == 2
    growth = rows(found.table, panel="growth", kind="trained")
    assert set(growth.curve) == {"4, 1", "12, 1", "2 to 12, 1"}
    np.testing.assert_allclose(growth.y[growth.x == 0], 6.0, rtol=1e-5)


def test_axes_say_what_they_are(found):
    drawn = figure.plot(found)
    assert [axis.get_title(loc="left")[:3] for axis in drawn.axes] == [f"({k})" for k in "abcdef"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.axes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"ramp": 0}, "ramp must be at least 1"),
        ({"largest_gap": 0}, "largest_gap must"),
        ({"delay": 0}, "delay must"),
        ({"shown_gaps": (0,)}, "shown_gaps must"),
        ({"delays": (3, 31)}, "delays must be at most longest_delay = 30"),
        ({"trained_start": 0.0}, "trained_start must be positive"),
        ({"trainings": 0}, "trainings must"),
    ],
)
def test_bad_input_is_refused(bad, message):
    small = {"largest_gap": 2, "updates": 2, "stochastic_updates": 1, "draws": 2, "seeds": 1}
    small |= {"trained_updates": 1, "trainings": 1}
    with pytest.raises(ValueError, match=message):
        figure.data(**(small | bad), device="cpu")
