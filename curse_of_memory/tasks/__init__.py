"""What models are trained on: each task draws seeded batches and says what it is."""

from curse_of_memory.tasks.linear_functional import Batch, LinearFunctional

__all__ = ["Batch", "LinearFunctional"]
