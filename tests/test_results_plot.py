"""Results that draw themselves, as xarray and pandas do, and bars that are shown only on request."""

import inspect
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from torch import nn

import curse_of_memory as com
from curse_of_memory import report
from curse_of_memory.tools import extras
from curse_of_memory.training import FitResult

RHO = com.targets.exponential(0.2)
TASK = com.tasks.LinearFunctional(RHO, horizon=10)
HISTORY = {"step": [0, 10, 20], "training_loss": [np.nan, 2.0, 1.0], "validation_loss": [3.0, 1.5, 1.2]}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.readout = nn.GRU(1, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, x):
        return self.readout(self.gru(x)[0])


def exact():
    return com.perturbation_curve(com.nn.RNN(2, diagonal=True, seed=0), TASK, [0.0, 0.1, 0.3], draws=4)


def sampled():
    return com.perturbation_curve(Network(), TASK, [0.1, 0.3], draws=4, samples=8)


def trained():
    return FitResult("finished", 1.2, 20, pd.DataFrame(HISTORY), 0.1)


def reported():
    return com.memory_report({"rnn": com.nn.RNN(2, diagonal=True, seed=0)}, horizon=12)


def needed():
    return com.states_needed([1.0, 0.5, 0.25, 0.125])


def labels(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def with_bars(axes: Axes) -> Line2D:
    """Return the one line that has error bars."""
    (bars,) = axes.containers
    assert isinstance(bars, ErrorbarContainer)
    return bars.lines[0]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("result", [exact, sampled, trained, reported, needed])
def test_a_result_draws_itself_where_it_is_told_and_returns_the_axes(result):
    result, before = result(), dict(plt.rcParams)
    own = result.plot()
    _, axes = plt.subplots()
    assert result.plot(ax=axes) is axes
    assert own.figure is not axes.figure
    assert own.get_xlabel()
    assert own.get_ylabel()
    assert own.get_legend() is not None
    assert dict(plt.rcParams) == before
    own.figure.canvas.draw()


@pytest.mark.parametrize("result", [exact, trained, reported, needed])
def test_without_matplotlib_one_line_names_the_extra(result, monkeypatch):
    result = result()
    monkeypatch.setattr(extras, "_is_there", lambda module: module != "matplotlib")
    monkeypatch.delitem(sys.modules, "curse_of_memory.report.plotting", raising=False)
    monkeypatch.delattr(report, "plotting", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"matplotlib is not installed: pip install .*\[figures\]"):
        result.plot()


def test_a_perturbation_curve_is_drawn_with_its_draws_and_says_what_it_bounds():
    curve = exact()
    axes = curve.plot()
    line = with_bars(axes)
    assert np.array_equal(line.get_xdata(), [0.1, 0.3])
    assert np.array_equal(line.get_ydata(), curve.error.values[1:])
    assert labels(axes) == ["$E(0)$", "largest of 4 draws, a lower bound"]
    thin = [line for line in axes.lines if line.get_linewidth() == 0.5]
    assert len(thin) == 4
    assert labels(sampled().plot()) == ["largest of 4 draws and its standard error"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "result",
    [
        lambda: FitResult("diverged", np.nan, 0, pd.DataFrame({k: [np.nan] for k in HISTORY}), 0.1),
        lambda: com.memory_report({"zero": 0 * com.memory_function(com.nn.RNN(2, seed=0), 12)}),
        lambda: com.perturbation_curve(com.nn.RNN(2, diagonal=True, seed=0), TASK, [0.0], draws=2),
        lambda: com.states_needed([4.0, 2.0, 1.0]),  # the fit of powers of two is exact
    ],
)
def test_what_has_nothing_above_zero_is_drawn_too(result):
    axes = result().plot()
    axes.figure.canvas.draw()
    assert labels(axes)


def test_what_overflows_is_left_out():
    curve = exact()
    curve.error[2] = np.inf
    curve.draw_error[2] = np.inf
    assert np.isnan(np.asarray(with_bars(curve.plot()).get_ydata())[1])


def test_a_training_is_drawn_over_steps_and_an_exact_one_over_evaluations():
    axes = trained().plot()
    assert axes.get_xlabel() == "steps"
    assert axes.get_yscale() == "log"
    assert labels(axes) == ["training loss", "validation loss", "kept: 1.2"]
    losses = pd.DataFrame({"evaluation": [0, 1], "expected_loss": [0.1, -0.1]})
    axes = replace(trained(), history=losses).plot()
    assert axes.get_xlabel() == "evaluations"
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize(
    ("dt", "x", "y"), [(1.0, "lag $t$ [steps]", "1/step"), (0.5, "lag $t$ [time]", "1/time")]
)
def test_the_plot_of_xarray_labels_a_memory_with_symbols_and_units(dt, x, y):
    com.memory_function(nn.Identity(), 5, dt=dt).plot.line()
    assert plt.gca().get_xlabel() == x
    assert plt.gca().get_ylabel() == f"memory $M(t)$ [{y}]"


WITH_BARS = [
    thing
    for module in (com, com.measure, com.training)
    for name in module.__all__
    if inspect.isfunction(thing := getattr(module, name))
    and "progress" in inspect.signature(thing).parameters
]


def test_bars_have_one_name_and_are_off_unless_asked_for():
    assert {com.fit, com.sweep, com.memory_report, com.perturbation_curve} <= set(WITH_BARS)
    assert all(inspect.signature(thing).parameters["progress"].default is False for thing in WITH_BARS)


@pytest.mark.parametrize(
    ("call", "bar"),
    [
        (lambda **show: com.memory_report([nn.Identity()], horizon=5, **show), "models"),
        (lambda **show: com.perturbation_curve(Network(), TASK, [0.1], draws=1, samples=2, **show), "radii"),
        (lambda **show: com.memory_function(nn.Identity(), 5, **show), "heaviside"),
        (lambda **show: com.gradient_norms(nn.Identity(), 5, samples=1, **show), "gradients"),
        (lambda **show: com.stability_margin(Network(), TASK, draws=1, samples=2, **show), "radii"),
        (
            lambda **show: com.fit_expected(
                com.nn.RNN(1, diagonal=True, seed=0), TASK, descent=2, evaluations=2, **show
            ),
            "training",
        ),
    ],
)
def test_a_measurement_shows_a_bar_only_when_asked(call, bar, capsys):
    call()
    assert capsys.readouterr().err == ""
    call(progress=True)
    assert bar in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress must be True or False"):
        call(progress="yes")
