"""How long gradient flow stays on the plateau, against the theory beneath the figure."""

import math

import pandas as pd
import pytest

from curse_of_memory.papers.linear_rnn import plateau as plateau_figure
from curse_of_memory.theory.plateau import plateau_time
from curse_of_memory.theory.targets.far_bump import far_bump


@pytest.fixture(scope="module")
def plateau():
    return plateau_figure.data(
        delays=(4, 7), seeds=2, parameterizations=("best",), powers=(0,), compared_seeds=1, horizon=12.0
    )


def test_every_run_of_the_plateau_is_in_the_table(plateau):
    runs = plateau.table[plateau.table.panel == "plateau"]
    assert runs.groupby("variant", sort=False).size().to_dict() == {"direct": 4, "best": 2, "p = 0": 2}
    assert runs.reached.astype(bool).all()


def test_plateau_times_are_those_of_the_library(plateau):
    runs = plateau.table[(plateau.table.panel == "plateau") & (plateau.table.delay == 7)]
    known = {
        "direct": plateau_time(far_bump(7.0), seed=1).time,
        "best": plateau_time(far_bump(7.0), seed=0, parameterization="best").time,
        "p = 0": plateau_time(far_bump(7.0), seed=0, power=0, horizon=12.0).time,
    }
    for variant, time in known.items():
        assert runs[runs.variant == variant].time.iloc[-1] == time


def test_curves_begin_at_the_start_and_end_at_the_threshold(plateau):
    for delay, curve in plateau.table[plateau.table.panel == "loss"].groupby("delay"):
        assert curve.time.iloc[0] == 0
        assert curve.loss.iloc[-1] == pytest.approx(0.97 * far_bump(float(delay)).bump_energy, rel=1e-9)


def test_the_slope_in_the_headline_is_that_of_the_times(plateau):
    means = [math.log(plateau.headline[f"τ at 1/ω = {delay}"]) for delay in (4, 7)]
    assert plateau.headline["slope of ln τ against 1/ω"] == pytest.approx(
        (means[1] - means[0]) / 3, rel=1e-12
    )


def test_the_spread_is_over_the_starts(plateau, expect_spread):
    runs = plateau.table[(plateau.table.panel == "plateau") & (plateau.table.variant == "direct")]
    time = runs.set_index(["delay", "seed"]).time
    expect_spread(plateau, "τ at 1/ω = 7", time[7])
    slopes = [math.log(time[7, seed] / time[4, seed]) / 3 for seed in (0, 1)]
    expect_spread(plateau, "slope of ln τ against 1/ω", slopes)
    assert len(plateau.spread) == 3  # with τ at 4; of the other variants there is one start only


def test_variants_are_compared_start_by_start(plateau, expect_spread):
    """With a second start of the variant "best", which waits three times as long as the direct one."""
    runs = plateau.table[(plateau.table.panel == "plateau") & (plateau.table.seed == 1)]
    other = runs.assign(variant="best", time=3 * runs.time)
    found = plateau_figure._findings(pd.concat([plateau.table, other]), 4, 0)
    time = plateau.table[plateau.table.panel == "plateau"].set_index(["variant", "delay", "seed"]).time
    ratios = [time["best", delay, 0] / time["direct", delay, 0] for delay in (4, 7)]
    expect_spread(found, "τ over τ of direct at the last 1/ω, best", (ratios[1], 3.0))
    slope = round(math.log(ratios[1] / ratios[0]) / 3, 4)
    expect_spread(found, "slope minus slope of direct, best", (slope, 0.0))


def test_the_pilot_run_is_shown_only_beside_the_same_starts(plateau):
    assert plateau.paper == {}
    same = plateau_figure.data(
        delays=(4, 6), parameterizations=("exp",), powers=(10,), compared_seeds=1, horizon=7.0
    )
    assert same.paper == {"τ at 1/ω = 4": 0.93, "τ at 1/ω = 6": 4.1}
    for label, printed in same.paper.items():
        assert same.headline[label] == pytest.approx(printed, rel=0.02)


def test_a_start_that_never_leaves_is_counted_and_left_out(monkeypatch):
    def impatient(*arguments, **options):
        return plateau_time(*arguments, **options, time_limit=10.0)

    monkeypatch.setattr("curse_of_memory.papers.linear_rnn.plateau.plateau_time", impatient)
    short = {"parameterizations": ("exp",), "powers": (0,), "compared_seeds": 1}
    data = plateau_figure.data(delays=(4, 6), seeds=3, **short)
    assert data.headline["starts that never left"] == 1  # seed 0 at 1/ω = 6 takes 16.7
    nothing = plateau_figure.data(delays=(4, 6), seeds=1, **short)
    assert "No start left" in nothing.message
    plateau_figure.plot(nothing)


def test_axes_say_what_they_are(plateau):
    figure = plateau_figure.plot(plateau)
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compared_seeds": 6}, "compared_seeds must be at most seeds = 5"),
        ({"delays": [4]}, "delays must be at least two different"),
        ({"horizon": 12.0}, "horizon must exceed the last delay 12"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        plateau_figure.data(**arguments)
