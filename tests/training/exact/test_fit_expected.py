import math

import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMAE, TemporallyWeightedMSE
from curse_of_memory.nn import RNN, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, exponential_sums, targets
from curse_of_memory.training import fit_expected
from curse_of_memory.training.exact.fit_expected import _descend

EPS = float(np.finfo(float).eps)
POLYNOMIAL = targets.polynomial(1.1, rate=0.1)


def network(width, **options):
    return RNN(width, **({"diagonal": True, "bias": False, "seed": 0, "dtype": torch.float64} | options))


def best_loss(task, terms, power=0):
    """The loss of the best exponential sum, by variable projection and by the theory's formula."""
    weight = bias.power(power)
    found = exponential_sums.fit_exponential_sum(
        task.rho, terms=terms, weight=weight.discrete(task.horizon, task.dt), dt=task.dt
    )
    memory = found.on_grid(task.horizon).values
    return float(
        bias.weighted_error(
            task.rho, memory, weight, dt=task.dt, variance=task.variance, unit_mean=True, inputs=task.inputs
        )
    )


@pytest.mark.parametrize("power", [0, 2])
@pytest.mark.parametrize("modes", [1, 2, 4])
def test_training_reaches_the_best_exponential_sum(modes, power):
    task = LinearFunctional(POLYNOMIAL, 100)
    model = network(modes)
    result = fit_expected(model, task, loss=TemporallyWeightedMSE(power))
    best = best_loss(task, modes, power)
    assert result.status == "converged"
    # the loss is quadratic at its minimum: where one search ended at a relative change of 1e-12,
    # the other may be lower by no more than what such changes still add up to
    assert result.loss == pytest.approx(best, rel=1e-6)
    # twins: what is reported is the exact loss of the model handed back
    memory = model.kernel(100).detach().flatten().numpy()
    again = bias.weighted_error(task.rho, memory, bias.power(power), unit_mean=True)
    residual = np.abs(memory - task.rho).max()
    assert result.loss == pytest.approx(again, rel=1e-10 + 400 * EPS / residual)
    assert result.steps == len(result.history)
    assert result.history.columns.tolist() == ["evaluation", "expected_loss"]
    assert result.history.expected_loss.min() == pytest.approx(result.loss, rel=1e-12)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("parameterization", ["direct", "softplus", "exp", "best", "lru"])
def test_all_parameterizations_reach_it(parameterization, diagonal):
    task = LinearFunctional(POLYNOMIAL, 40)
    model = network(2, parameterization=parameterization, diagonal=diagonal, seed=2)
    result = fit_expected(model, task)
    assert result.loss == pytest.approx(best_loss(task, 2), rel=1e-6)


def test_where_training_ends_two_modes_may_have_become_one():
    """Two modes of one rate are one mode and a point of rest of training; nothing is below the best."""
    task = LinearFunctional(POLYNOMIAL, 40)
    best = np.array([best_loss(task, 1), best_loss(task, 2)])
    ends = [fit_expected(network(2, seed=seed), task).loss for seed in range(6)]
    for loss in ends:
        assert loss > best[1] * (1 - 1e-6)
        assert (np.abs(loss / best - 1) < 1e-3).any()
    assert sum(loss < best[1] * (1 + 1e-6) for loss in ends) >= 3


def test_more_modes_are_better():
    task = LinearFunctional(POLYNOMIAL, 60)
    losses = [fit_expected(network(m), task).loss for m in (1, 2, 3)]
    assert losses[0] > 10 * losses[1] > 100 * losses[2]


@pytest.mark.parametrize("dt", [1.0, 0.25])
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
def test_a_memory_that_the_model_has_is_found(inputs, dt):
    task = LinearFunctional(targets.exponential(0.2 / dt), 30, dt=dt, inputs=inputs, variance=2.0)
    model = network(1, dt=dt)
    result = fit_expected(model, task)
    # the residuals are linear in the error of the weights near the end, which Gauss-Newton squares
    # away until the weights are right to rounding
    assert result.loss < (1e-10 * dt) ** 2 * 30
    np.testing.assert_allclose(model.kernel(30).detach().flatten(), task.rho, rtol=0, atol=1e-9)


def test_a_bias_is_trained_away():
    task = LinearFunctional(POLYNOMIAL, 30)
    model, without = network(2, bias=True), network(2)
    model.bias.data += 0.5
    assert model.offset(30).abs().max() > 0.1
    loss = fit_expected(model, task).loss
    assert loss == pytest.approx(fit_expected(without, task).loss, rel=1e-6)
    # its part of the loss, (1/T) Σ μ², is within what the comparison above allows
    assert model.offset(30).square().mean() <= 1e-6 * loss


def test_weights_decide_which_lags_are_learned():
    """A weight on late steps trades the head of the memory for its tail."""
    task = LinearFunctional(targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01]), 60)
    memories = []
    for power in (-1, 2):
        model = network(1)
        fit_expected(model, task, loss=TemporallyWeightedMSE(power))
        memories.append(np.abs(model.kernel(60).detach().flatten().numpy() - task.rho))
    early, late = memories
    assert early[0] < late[0]
    assert early[-1] > late[-1]


def test_the_public_codes_loss_has_an_expectation_too():
    """The weight inside the square at p is the weight at 2p: the same best memory."""
    task = LinearFunctional(POLYNOMIAL, 30)
    models = [network(1), network(1)]
    for model, loss in zip(
        models,
        (TemporallyWeightedMSE(1, form="inside_square"), TemporallyWeightedMSE(2)),
        strict=True,
    ):
        fit_expected(model, task, loss=loss)
    # both end within a relative change of 1e-12 of a loss, so within its root of a minimum
    torch.testing.assert_close(models[0].kernel(30), models[1].kernel(30), rtol=0, atol=1e-5)


def test_a_model_keeps_its_dtype_and_the_work_is_done_in_double():
    task = LinearFunctional(POLYNOMIAL, 30)
    single, double = network(2, dtype=torch.float32), network(2)
    loss = fit_expected(single, task).loss
    assert {p.dtype for p in single.parameters()} == {torch.float32}
    # the two start at weights that differ by float32 rounding, and end at one minimum
    assert loss == pytest.approx(fit_expected(double, task).loss, rel=1e-6)
    kernel = single.kernel(30).detach().double()
    torch.testing.assert_close(kernel, double.kernel(30).detach(), rtol=0, atol=1e-4)


def test_training_is_deterministic_and_leaves_the_global_generator_alone():
    task = LinearFunctional(POLYNOMIAL, 30)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = network(2), network(2)
    assert fit_expected(first, task).loss == fit_expected(second, task).loss
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in first.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_too_few_evaluations_are_reported():
    task = LinearFunctional(POLYNOMIAL, 30)
    result = fit_expected(network(3), task, descent=5, evaluations=2)
    assert result.status == "finished"
    assert result.steps == 7
    assert result.loss == pytest.approx(result.history.expected_loss.min(), rel=1e-12)


def test_a_start_near_the_optimum_is_not_lost_by_the_descent():
    """Steps of 0.01 leave an optimum for worse points; the search goes on from the best one seen."""

    def evaluate(theta):
        return float(((theta - 1e-4) ** 2).sum()), 2 * (theta - 1e-4)

    history = []
    start = np.zeros(2)
    found = _descend(evaluate, start, 3, history)
    assert history[0] < min(history[1:])
    assert np.array_equal(found, np.zeros(2))


class NoKernel(torch.nn.Module):
    is_linear = True


def unstable():
    model = network(1)
    model.recurrent_weight.data.fill_(1e200)
    return model


@pytest.mark.parametrize(
    ("model", "options", "kind", "message"),
    [
        (lambda: network(1, activation="tanh"), {}, TypeError, "must be linear and give its kernel"),
        (lambda: torch.nn.GRU(1, 1), {}, TypeError, "must be linear and give its kernel"),
        (NoKernel, {}, TypeError, "must be linear and give its kernel"),
        (
            lambda: network(1),
            {"loss": TemporallyWeightedMAE()},
            TypeError,
            "loss must be .* expected.*MAE",
        ),
        (
            lambda: network(1),
            {"loss": torch.nn.MSELoss()},
            TypeError,
            "loss must be .* expected.*MSE",
        ),
        (lambda: network(1, dt=0.5), {}, ValueError, "must share dt, got 0.5 and 1.0"),
        (lambda: network(1, input_size=2), {}, ValueError, r"one channel in and one out, got \(2, 1\)"),
        (lambda: network(1, output_size=3), {}, ValueError, r"one channel in and one out, got \(1, 3\)"),
        (unstable, {}, ValueError, "start from a stable model"),
        (
            lambda: network(1),
            {"task": 3},
            TypeError,
            r"task must be a linear task with .* linear_error\(\), got 3",
        ),
        (lambda: network(1), {"descent": 0}, ValueError, "descent must be at least 1"),
        (lambda: network(1), {"evaluations": 0}, ValueError, "evaluations must be at least 1"),
        (lambda: network(1), {"tolerance": 0.0}, ValueError, "tolerance must be positive"),
        (lambda: network(1), {"tolerance": math.inf}, ValueError, "tolerance must be finite"),
    ],
)
def test_bad_input_is_refused(model, options, kind, message):
    arguments = {"task": LinearFunctional(POLYNOMIAL, 10)} | options
    with pytest.raises(kind, match=message):
        fit_expected(model(), **arguments)


def test_a_loss_without_finite_derivatives_ends_the_descent_where_it_is():
    """exp(−e^w) is zero for w = 800, and its derivative 0 · ∞."""
    task = LinearFunctional(targets.exponential(0.5), 12)
    model = SSM(2, parameterization="exp", bias=False, seed=0, dtype=torch.float64)
    with torch.no_grad():
        model.recurrent_weight[0] = 800.0
    before = [p.detach().clone() for p in model.parameters()]
    result = fit_expected(model, task)
    assert result.status == "diverged"
    assert math.isfinite(result.loss)
    assert result.loss == pytest.approx(result.history.expected_loss[0], rel=1e-12)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
