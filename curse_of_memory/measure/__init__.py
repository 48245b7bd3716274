"""Any torch module in, labelled curves out."""

from curse_of_memory.measure.memory import memory_function
from curse_of_memory.measure.perturbation import perturbation_curve

__all__ = ["memory_function", "perturbation_curve"]
