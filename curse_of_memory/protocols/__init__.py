"""What this package asks of things that somebody hands in: of layers, of tasks, and of losses."""

from curse_of_memory.protocols.layers import (
    Freezable,
    Kindred,
    LinearMemory,
    ManyModels,
    Modal,
    Outputs,
    PricedOutputs,
    Remembering,
    SequenceLayer,
    Stackable,
    can_run_chunks,
    has_linear_memory,
    remembers,
)
from curse_of_memory.protocols.tasks import LinearError, LinearLoss, LinearTask, Task

__all__ = [
    "Freezable",
    "Kindred",
    "LinearError",
    "LinearLoss",
    "LinearMemory",
    "LinearTask",
    "ManyModels",
    "Modal",
    "Outputs",
    "PricedOutputs",
    "Remembering",
    "SequenceLayer",
    "Stackable",
    "Task",
    "can_run_chunks",
    "has_linear_memory",
    "remembers",
]
