"""Measurements of any torch module that maps sequences to sequences; they return labelled curves and tables.

A :class:`SequenceMap` says which map a module is; whether it is one is tried before every measurement.
"""

from curse_of_memory.measure.gradients import gradient_norms
from curse_of_memory.measure.linearised_rate import linearised_rate
from curse_of_memory.measure.margin import StabilityMargin, stability_margin
from curse_of_memory.measure.memory import memory_function
from curse_of_memory.measure.memory_table import MemoryReport
from curse_of_memory.measure.memory_used import memory_used
from curse_of_memory.measure.perturbation import perturbation_curve
from curse_of_memory.measure.perturbation_table import PerturbationCurve
from curse_of_memory.measure.report import memory_report
from curse_of_memory.measure.rouge_scores import rouge
from curse_of_memory.measure.sequence_map import SequenceMap

__all__ = [
    "MemoryReport",
    "PerturbationCurve",
    "SequenceMap",
    "StabilityMargin",
    "gradient_norms",
    "linearised_rate",
    "memory_function",
    "memory_report",
    "memory_used",
    "perturbation_curve",
    "rouge",
    "stability_margin",
]
