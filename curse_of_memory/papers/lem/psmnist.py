"""LEM (2110.04744) on permuted sequential MNIST: digits are read as 784 pixels in one random order."""

from matplotlib.figure import Figure

from curse_of_memory.papers.lem._images import draw_accuracies, pixels_of
from curse_of_memory.report.figure import FigureData

__all__ = ["data", "plot"]

data = pixels_of("psmnist", title="Permuted sequential MNIST", permuted=True, step=0.31, rate=0.02, norm=1.1)


def plot(data: FigureData) -> Figure:
    """Draw accuracies by epoch, and of each training at its best validation, beside published ones."""
    return draw_accuracies("psmnist", data)
