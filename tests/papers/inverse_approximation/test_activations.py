"""Activations without and with softplus: the blow-up that a stable map takes away."""

import pytest

from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.papers.inverse_approximation import activations
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sum


def test_softplus_takes_the_blow_up_of_the_same_memory_away():
    """One memory, two parameterizations: a direct rate λ leaves the stable side at β > λ, the softplus
    rate log(1 + eʷ) changes by a factor of at most e^β (2311.14495, definition 3.4)."""
    task = LinearFunctional(targets.named("iat-code-polynomial"), 300)
    best = fit_exponential_sum(task.rho, terms=3)
    errors = {}
    for name in ("direct", "softplus"):
        model = RNN.from_exponential_sum(
            rates=best.rates, coefficients=best.coefficients, parameterization=name
        )
        errors[name] = perturbation_curve(model, task, [0.0, 0.2], draws=50).error.values
    assert errors["direct"][0] == pytest.approx(errors["softplus"][0], rel=1e-9)
    assert errors["direct"][1] > 1e3 * errors["softplus"][1]


def test_axes_say_what_they_are():
    few = activations.data(activations=("linear", "tanh"), widths=(2,), horizon=10, steps=1, draws=2)
    for axis in activations.plot(few).axes:
        assert "beta" in axis.get_xlabel()
        assert axis.get_xscale() == axis.get_yscale() == "log"
