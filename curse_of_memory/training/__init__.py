"""One model at a time: on sampled batches, or on the exact expected loss."""

from curse_of_memory.training.fit import fit
from curse_of_memory.training.population import fit_expected
from curse_of_memory.training.result import FitResult

__all__ = ["FitResult", "fit", "fit_expected"]
