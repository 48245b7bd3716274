"""No certificate is ever violated, from theory to trained models."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import curse_of_memory as com

MEMORIES = [
    com.targets.polynomial(1.1, rate=0.1),
    com.targets.polynomial(2.0),
    com.targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.03]),
    com.targets.two_parts(4.0),
    com.targets.airy(3.0),
]
some = settings(derandomize=True, deadline=None, max_examples=12)


@pytest.mark.slow
@some
@given(
    rho=st.sampled_from(MEMORIES),
    width=st.integers(1, 4),
    power=st.sampled_from([0.0, 2.0, 10.0]),
    parameterization=st.sampled_from(["direct", "softplus", "exp", "best", "lru"]),
    seed=st.integers(0, 99),
)
def test_lower_bound_best_fit_and_training_stand_in_order(rho, width, power, parameterization, seed):
    task = com.tasks.LinearFunctional(rho, horizon=40)
    loss = com.losses.TemporallyWeightedMSE(power)
    model = com.nn.RNN(
        width, diagonal=True, bias=False, parameterization=parameterization, seed=seed, dtype=torch.float64
    )
    reached = com.fit_expected(model, task, loss=loss, descent=30, evaluations=20).loss
    nothing = loss.expected(task.kernel).item()
    trained = np.sqrt(reached / nothing)
    weight = com.bias.power(power)
    # multipliers of a diagonal RNN may be of either sign
    fit = com.fit_exponential_sum(task.rho, terms=width, weight=weight, modes="discrete")
    rounding = 1e-12  # of errors relative to the target
    assert fit.lower_bound <= fit.error + rounding
    assert fit.lower_bound <= trained + rounding
    # training may end where modes tend to one rate and weights to infinity: the limit is below that too
    assert fit.limit_error <= trained * (1 + 1e-6) + 1e-9
    if (1 + model.recurrence() > 0).all():
        real = com.fit_exponential_sum(task.rho, terms=width, weight=weight)
        assert real.limit_error <= trained * (1 + 1e-6) + 1e-9


@some
@given(
    rho=st.sampled_from(MEMORIES[:3]),
    width=st.integers(1, 3),
    parameterization=st.sampled_from(["direct", "softplus", "exp", "best"]),
    beta=st.sampled_from([1e-3, 1e-2, 0.1]),
    seed=st.integers(0, 99),
)
def test_measured_perturbations_stay_within_the_bracket(rho, width, parameterization, beta, seed):
    """The exact expected error of perturbed RNNs against the bracket of the same model."""
    horizon = 40
    task = com.tasks.LinearFunctional(rho, horizon)
    fit = com.fit_exponential_sum(task.rho, terms=width, weight=com.bias.power(0))
    model = com.nn.RNN.from_exponential_sum(
        rates=fit.rates, coefficients=fit.coefficients, parameterization=parameterization
    )
    curve = com.perturbation_curve(model, task, [beta], draws=20, seed=seed)
    worst = com.worst_case_error(
        fit, rho, beta, parameterization, "expected", horizon=horizon, step="euler", draws=20, seed=seed
    )
    measured = np.sqrt(curve.error.item())
    assert measured <= worst.upper * (1 + 1e-9) + 1e-12
    assert worst.random <= worst.lower <= worst.upper
    assert abs(measured - max(worst.random, worst.centre)) <= 1e-6 * measured + 1e-9
