"""The result of a training run, and the status by which it ended."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLOW_UP", "FitResult", "verdict"]

BLOW_UP = 1000.0  # a last validation loss that is so many times the first is a divergence


@dataclass(frozen=True)
class FitResult:
    """How a training run ended; the model itself holds its best weights.

    Attributes
    ----------
    status : str
        ``'finished'`` all steps were done; ``'reached'`` the loss asked for was reached;
        ``'converged'`` the optimiser (of the exact loss) saw no further descent;
        ``'stopped early'`` no better validation for the patience given;
        ``'not improved'`` the run ended in one of these ways, the loss asked for aside, but nowhere below the
        loss of its start (or better than it by the metric that selects): the model has the weights it came
        with, or others that are as good;
        ``'diverged'`` the loss or its gradient became NaN or infinite, or the last validation loss is more
        than 1000 times the first: the best weights are kept, which may be those of the start.
    loss : float
        Validation loss of the weights that the model has, which is the least unless another metric selects
        them; or the exact expected loss. NaN if the run diverged at once.
    steps : int
        Training steps, or evaluations of the exact loss.
    history : pandas.DataFrame
        One row per validation, or per evaluation of the exact loss.
    seconds : float
        Wall-clock time of all calls together, where a run was resumed.
    score : float
        Best value on the validation set of the metric that selected the weights; the loss unless another one
        was asked for. NaN of the exact loss.
    test : float
        Value of that metric on the test data, by the same weights; NaN where no test data were given.
    """

    status: str
    loss: float
    steps: int
    history: pd.DataFrame
    seconds: float
    score: float = math.nan
    test: float = math.nan

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the losses of the history over training steps, or over evaluations of the exact loss.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; new ones, in the style of the figures, unless given.

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib, which the extra ``figures`` brings.
        """
        from curse_of_memory.report import plotting  # brings matplotlib, which training does without

        over = "evaluation" if "evaluation" in self.history else "step"
        losses = [name for name in self.history if str(name).endswith("_loss")]
        with plotting.on(ax) as axis:
            for name, look in plotting.looks(losses).items():
                label = str(name).replace("_", " ")
                plotting.theory(axis, self.history[over], self.history[name], look.color, label=label)
            axis.axhline(self.loss, color=plotting.INK, ls=":", lw=1, label=f"kept: {self.loss:.3g}")
            values = self.history[losses].to_numpy(float)
            axis.set(xlabel=f"{over}s", ylabel="loss")
            if (values[values == values] > 0).all():
                plotting.log_scale(axis, "y")  # none of a run that diverged at once
            axis.legend()
        return axis


def verdict(status: str, first: float, last: float, *, improved: bool) -> str:
    """Return `status`, or ``'diverged'`` or ``'not improved'`` where the losses say so.

    Parameters
    ----------
    status : str
        One of those of :class:`FitResult`, as the loop saw it.
    first, last : float
        The loss of the start, and the last one.
    improved : bool
        Whether anything was better than the start.

    Examples
    --------
    >>> verdict("finished", 1.4, 0.2, improved=True), verdict("finished", 1.4, 5e13, improved=False)
    ('finished', 'diverged')
    >>> verdict("stopped early", 1.4, 1.5, improved=False)
    'not improved'
    """
    if status in ("reached", "diverged"):
        return status
    # a start without any error has no scale to blow up from
    if first != 0 and last - first > (BLOW_UP - 1) * abs(first):
        return "diverged"
    return status if improved else "not improved"
