"""Perturbation errors E_m(β) of exponential sums: certified worst cases, limits, stability radii."""

from curse_of_memory.theory.stability.errors import (
    WorstCase,
    crossing,
    limit_curve,
    stability_radius,
    worst_case_curve,
    worst_case_error,
)

__all__ = ["WorstCase", "crossing", "limit_curve", "stability_radius", "worst_case_curve", "worst_case_error"]
