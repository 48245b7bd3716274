"""StableSSM (2311.14495): CIFAR-10 by learning rate and reparameterisation."""

from matplotlib.figure import Figure

from curse_of_memory.papers.stable_ssm._images import by_learning_rate_of, draw_losses
from curse_of_memory.report.figure import FigureData

__all__ = ["data", "plot"]

data = by_learning_rate_of(
    "cifar10",
    title="CIFAR-10 by learning rate and reparameterisation",
    source="StableSSM (2311.14495), CIFAR-10 by learning rate",
)


def plot(data: FigureData) -> Figure:
    """Draw the test loss of every run against its learning rate."""
    return draw_losses(data, None)
