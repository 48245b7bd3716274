"""Perturbed state space models: one envelope for stable maps, crossings that march for the direct weight."""

import matplotlib as mpl
import numpy as np
import pytest
import torch

mpl.use("agg")

from curse_of_memory.experiments.error_bounds import within_bounds
from curse_of_memory.nn import RNN
from curse_of_memory.papers.stable_ssm import perturbation as figure
from curse_of_memory.papers.stable_ssm._maps import GROWING, map_of, stepped
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sum
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.theory.stability import worst_case_error

STABLE = ("softplus", "exp", "best")


@pytest.fixture(scope="module")
def data():
    return figure.data(widths=(1, 2, 4), horizon=400, seeds=2, draws=10, device="cpu")


def errors(data, name, column):
    curves = data.table[data.table.parameterization == name]
    return curves.pivot(index="beta", columns="m", values=column)


@pytest.mark.parametrize("name", STABLE)
def test_stable_maps_keep_one_envelope(data, name):
    """Certified: at every β no wider model is more than three times as bad as a narrower one."""
    lower, upper = errors(data, name, "lower"), errors(data, name, "upper")
    for narrow, wide in ((1, 2), (1, 4), (2, 4)):
        assert (upper[wide] < 3 * lower[narrow]).all()
    assert lower.loc[0.0].is_monotonic_decreasing


def test_direct_weights_do_not(data):
    lower, upper = errors(data, "direct", "lower"), errors(data, "direct", "upper")
    assert lower.loc[0.0].is_monotonic_decreasing
    assert lower.loc[0.064, 4] > 1e4 * upper.loc[0.064, 1]


def test_crossings_march_to_zero_for_the_direct_weight_only(data):
    found = {
        name: figure.crossings(data.table[data.table.parameterization == name])
        for name in ("direct", *STABLE)
    }
    first, second = found["direct"].values()
    assert second < first / 1.5
    for name in STABLE:
        # where they cross at all, it is on the common line, an order of magnitude later
        assert not any(beta < 5 * first for beta in found[name].values())


def test_networks_lie_within_the_bounds_of_their_own_kernel(data):
    known = data.table[np.isfinite(data.table.worst)]
    assert len(known) > 0.9 * len(data.table)
    assert within_bounds(known).all()
    # and the bounds say something
    assert (known[known.beta < 0.01].upper < 1.3 * known[known.beta < 0.01].lower).all()


@pytest.mark.parametrize("name", ["direct", "exp"])
def test_what_was_learnt_is_the_best_sum(data, name):
    """Gauss-Newton stops at a relative change of 1e-12 of the squared error: 1e-6 in the error."""
    task = LinearFunctional(targets.named("iat-code-polynomial"), 400)
    for m in (1, 2):
        best = fit_exponential_sum(task.rho, terms=m, weight=bias.power(0))
        least = worst_case_error(best, task.rho, 0.0, name, "expected", horizon=400).lower
        assert errors(data, name, "random").loc[0.0, m] == pytest.approx(least, rel=1e-6)


def test_steps_are_exponentials_of_the_map():
    w = torch.tensor([-1.5, 0.3, 2.0], dtype=torch.float64)
    for name in ("direct", *STABLE):
        f, z = get(name), stepped(name)
        # what is kept is one minus the multiplier
        torch.testing.assert_close(z.f(w), f.f(w).exp(), rtol=1e-15, atol=4e-16)
        moved = w.clone().requires_grad_()
        (slope,) = torch.autograd.grad(f.f(moved).exp().sum(), moved)
        torch.testing.assert_close(z.derivative(w), slope, rtol=1e-14, atol=0)
        rates = torch.tensor([0.01, 0.5], dtype=torch.float64)
        torch.testing.assert_close(f.f(z.inverse((-rates).exp())), -rates, rtol=1e-10, atol=0)


def test_a_network_of_steps_has_the_memory_of_the_theory():
    model = RNN(1, diagonal=True, bias=False, parameterization=stepped("exp"), seed=0, dtype=torch.float64)
    with torch.no_grad():
        rate = model.recurrent_weight.exp().item()
        scale = (model.input_weight * model.output_weight).item()
        kernel = model.kernel(20).flatten().numpy()
    np.testing.assert_allclose(kernel, scale * np.exp(-rate * np.arange(20)), rtol=1e-12)


def test_steps_are_of_continuous_maps():
    with pytest.raises(ValueError, match="continuous time"):
        stepped("lru")
    assert map_of(GROWING) == "direct"
    assert map_of("best") == "best"


def test_logs_of_the_authors_are_whole():
    logs = reference("stable_ssm/perturbation_logs")
    assert logs.groupby(["model", "m"]).size().tolist() == [22] * 12
    rest = logs[logs.beta == 0].pivot(index="m", columns="model", values="error")
    assert all(rest[model].is_monotonic_decreasing for model in rest)


def test_axes_say_what_they_are(data):
    drawn = figure.plot(data)
    assert len(drawn.axes) == 4
    for axis in drawn.axes:
        assert "beta" in axis.get_xlabel()
        assert axis.get_xscale() == axis.get_yscale() == "log"


def test_a_map_without_logs_is_drawn_and_one_width_refused():
    few = figure.data(
        widths=(1, 2), parameterizations=("inverse",), horizon=30, seeds=1, draws=2, device="cpu"
    )
    assert few.paper == {}
    figure.plot(few)
    with pytest.raises(ValueError, match="widths must be at least two different"):
        figure.data(widths=(2,))
