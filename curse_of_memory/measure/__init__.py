"""Any torch module in, labelled curves out: one line of code per question."""

from curse_of_memory.measure.gradients import gradient_norms
from curse_of_memory.measure.margin import StabilityMargin, stability_margin
from curse_of_memory.measure.memory import memory_function
from curse_of_memory.measure.perturbation import perturbation_curve
from curse_of_memory.measure.report import memory_report

__all__ = [
    "StabilityMargin",
    "gradient_norms",
    "memory_function",
    "memory_report",
    "perturbation_curve",
    "stability_margin",
]
