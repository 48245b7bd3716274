"""Exponential sums ρ̂(t) = Σ cᵢ e^{−λᵢ t}: values, best fits, and lower bounds on their error."""

from curse_of_memory.theory.exponential_sums.exponential_sum import ExponentialSum
from curse_of_memory.theory.exponential_sums.fits import (
    ExponentialFit,
    fit_exponential_sum,
    fit_exponential_sums,
)

__all__ = ["ExponentialFit", "ExponentialSum", "fit_exponential_sum", "fit_exponential_sums"]
