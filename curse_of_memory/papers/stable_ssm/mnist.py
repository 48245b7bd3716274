"""StableSSM (2311.14495), table 2: MNIST by learning rate and reparameterisation."""

from matplotlib.figure import Figure

from curse_of_memory.papers.stable_ssm._images import by_learning_rate_of, draw_losses, quoted_losses
from curse_of_memory.report.figure import FigureData

__all__ = ["data", "plot"]

data = by_learning_rate_of(
    "mnist", title="MNIST by learning rate and reparameterisation", source="StableSSM (2311.14495), table 2"
)


def plot(data: FigureData) -> Figure:
    """Draw the test loss of every run against its learning rate, the paper's table 2 in grey."""
    quoted = quoted_losses("mnist").dropna(subset="loss")
    rates = data.table.learning_rate
    return draw_losses(data, quoted.loc[quoted.learning_rate.between(rates.min(), rates.max())])
