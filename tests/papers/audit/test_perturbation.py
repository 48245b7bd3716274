"""The perturbation error by definition and as the code has it."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit import perturbation as audit
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias

RATES, COEFFICIENTS = [0.05, 0.4], [0.6, 0.3]


@pytest.fixture(scope="module")
def data():
    return audit.data(width=3, horizon=40, draws=12, budget=5, device="cpu")


@pytest.fixture(scope="module")
def curves(data):
    table = data.table[data.table.panel == "error"]
    return {name: curve.error.to_numpy() for name, curve in table.groupby("curve")}


def test_public_noise_has_a_largest_entry_of_one_and_is_larger_than_its_ball():
    noise = audit.public_noise((64, 64), 0)
    assert np.abs(noise).max() == 1
    # 2√64 / √(2 ln 64²) for large matrices
    assert 3 < np.linalg.norm(noise, 2) < 5
    assert (noise == audit.public_noise((64, 64), 0)).all()


def test_slowed_error_is_that_of_the_slower_modes():
    task = LinearFunctional(lambda t: 0.9 ** np.asarray(t), 30)
    model = RNN.from_exponential_sum(rates=RATES, coefficients=COEFFICIENTS, parameterization="softplus")
    beta, s = 0.3, np.arange(30)
    w = np.log(np.expm1(-np.expm1(-np.array(RATES))))  # softplus(w) = 1 − e^{−λ}, the Euler step
    multipliers = 1 - np.logaddexp(0, w - beta)
    kernel = (multipliers ** s[:, None]) @ COEFFICIENTS
    expected = np.sqrt(bias.weighted_error(task.rho, kernel, bias.power(0), unit_mean=True))
    assert audit.slowed_error(model, task, beta) == pytest.approx(expected, rel=1e-12)


def test_random_directions_stay_below_the_supremum_and_that_below_its_bound(curves):
    assert (curves["random directions"] <= curves["supremum"] * (1 + 1e-9)).all()
    assert (curves["supremum"] <= curves["certified bound"]).all()
    assert (curves["3 random directions"] <= curves["random directions"] * (1 + 1e-12)).all()


def test_the_larger_ball_and_the_later_weight_raise_the_error(curves):
    for way in ("largest entry", "loss weight $t^4$"):
        assert (curves[way] > curves["random directions"]).all(), way
        assert (curves["largest entry and $t^4$"] > curves[way]).all(), way


def test_the_spread_is_over_the_draws_of_the_noise(data, expect_spread):
    (label,) = data.spread
    assert "64 × 64 noise" in label
    expect_spread(data, label, [np.linalg.norm(audit.public_noise((64, 64), i), 2) for i in range(30)])


def test_minus_beta_on_every_weight_is_the_worst_of_the_recurrent_weight(data):
    paper, code = (v for key, v in data.headline.items() if "recurrent weight alone" in key)
    assert code == pytest.approx(paper, rel=1e-3)  # the gap at which the search stops


def test_the_derivative_adds_to_the_norm_and_a_mean_is_below_a_supremum(data):
    norms = [v for key, v in data.headline.items() if key.startswith("norm of the error")]
    with_derivative, without, again, mean = norms
    assert with_derivative > without == again > mean


def test_logged_curves_are_running_maxima():
    logs = reference("inverse_approximation/running_maximum")
    np.testing.assert_allclose(np.maximum.accumulate(logs.largest), logs.error, rtol=1e-12)
    assert (logs.error > 2 * logs.largest).any()


def test_the_weights_of_the_model_stay(data):
    model = RNN.from_exponential_sum(rates=RATES, coefficients=COEFFICIENTS, parameterization="softplus")
    before = {name: w.clone() for name, w in model.named_parameters()}
    audit.slowed_error(model, LinearFunctional(np.ones(5), 5), 0.1)
    assert all(torch.equal(w, before[name]) for name, w in model.named_parameters())
