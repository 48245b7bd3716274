"""Training one model, many at once, or independent runs; on sampled batches or the exact expected loss."""

from curse_of_memory.training.batched.sweep import sweep
from curse_of_memory.training.exact.expected_loss import ExpectedLoss
from curse_of_memory.training.exact.fit_expected import fit_expected
from curse_of_memory.training.fit import fit
from curse_of_memory.training.result import FitResult
from curse_of_memory.training.runs import run_all
from curse_of_memory.training.streams.evaluation import StreamEvaluation, evaluate_stream, text_losses
from curse_of_memory.training.streams.fit_stream import fit_stream

__all__ = [
    "ExpectedLoss",
    "FitResult",
    "StreamEvaluation",
    "evaluate_stream",
    "fit",
    "fit_expected",
    "fit_stream",
    "run_all",
    "sweep",
    "text_losses",
]
