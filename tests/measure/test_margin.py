"""Stability margins against the perturbation curves they are read off, and against a closed form."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.measure import perturbation_curve, stability_margin
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets

TASK = LinearFunctional(targets.polynomial(1.5), 15)


def network(**options):
    return RNN(3, **({"diagonal": True, "seed": 1, "dtype": torch.float64} | options))


class Gain(nn.Module):
    """y = g x: its error on the target 2 δ(t) is (2 − g)², and within β it is (2 − g + β)²."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain], dtype=torch.float64))

    def forward(self, x):
        return self.gain * x


@pytest.mark.parametrize("factor", [1.5, 2.0, 100.0])
def test_of_one_weight_the_margin_is_exact(factor):
    """Among several random signs both occur, so that the supremum over the ball is found."""
    twice = LinearFunctional(lambda t: 2.0 * (t == 0), 10)
    margin = stability_margin(Gain(1.5), twice, factor=factor, draws=10, tolerance=1e-6)
    exact = 0.5 * (math.sqrt(factor) - 1)
    assert margin.inside <= exact * (1 + 1e-9)
    assert margin.beta >= exact * (1 - 1e-9)
    assert margin.beta == pytest.approx(exact, rel=2e-6)
    assert (margin.method, margin.bound) == ("sampled", "estimate")


@pytest.mark.parametrize("model", [network(), network(activation="tanh"), nn.GRU(1, 1, batch_first=True)])
def test_the_perturbation_curve_crosses_the_bound_there(model):
    options = {"draws": 5, "samples": 32, "seed": 4}
    margin = stability_margin(model, TASK, factor=1.2, **options)
    curve = perturbation_curve(model, TASK, [0.0, margin.inside, margin.beta], **options)
    assert curve.error[0] == margin.error
    assert curve.error[1] <= margin.allowed < curve.error[2]
    assert margin.allowed == 1.2 * margin.error
    assert margin.beta <= 1.01 * margin.inside
    assert margin.method == curve.attrs["method"]
    assert (margin.bound, curve.attrs["bound"]) in {("upper", "lower"), ("estimate", "estimate")}


def test_more_directions_never_widen_it():
    found = [stability_margin(network(), TASK, draws=n).beta for n in (1, 5, 30)]
    assert np.all(np.diff(found) <= 0.01 * np.array(found[:-1]))


def test_a_finite_error_is_the_margin_of_factor_infinity():
    double = stability_margin(network(), TASK, draws=3)
    finite = stability_margin(network(), TASK, factor=math.inf, draws=3)
    assert (finite.beta, finite.inside, finite.allowed) == (math.inf, 10.0, math.inf)
    assert double.beta < finite.inside


def test_nothing_below_the_smallest_radius_is_claimed():
    margin = stability_margin(network(), TASK, smallest=1.0, factor=1.0001)
    assert (margin.inside, margin.beta) == (0.0, 1.0)


def test_the_spectral_abscissa_is_that_of_the_recurrence():
    model = network(diagonal=False)
    eigenvalues = np.linalg.eigvals(model.recurrence().detach().numpy())
    assert stability_margin(model, TASK, draws=2).abscissa == pytest.approx(eigenvalues.real.max(), rel=1e-12)
    assert stability_margin(network(), TASK, draws=2).abscissa == network().recurrence().max().item()
    assert stability_margin(Gain(1.5), TASK, draws=2).abscissa is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1.0}, "factor must exceed 1"),
        ({"factor": math.nan}, "factor must be finite"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"smallest": 1.0, "largest": 1.0}, "largest must exceed smallest = 1"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"ball": "l2"}, "ball must be one of"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_bad_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stability_margin(network(), TASK, **options)


def test_a_model_whose_error_is_not_finite_has_no_margin():
    with pytest.raises(ValueError, match="model must have a finite error above zero, got inf"):
        stability_margin(Gain(math.nan), TASK)


@pytest.mark.parametrize("model", [network(), network(activation="tanh"), nn.GRU(1, 1, batch_first=True)])
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_change_nothing_in_a_perturbation_curve(model, chunk, capfd):
    options = {"betas": [0.0, 0.1], "draws": 4, "samples": 20}
    whole = perturbation_curve(model, TASK, **options)
    parts = perturbation_curve(model, TASK, chunk=chunk, progress=True, **options)
    eps = torch.finfo(next(model.parameters()).dtype).eps
    np.testing.assert_allclose(parts.draw_error, whole.draw_error, rtol=256 * eps)
    assert "radii" in capfd.readouterr().err
