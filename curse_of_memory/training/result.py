"""What a training run hands back."""

from dataclasses import dataclass

import pandas as pd

__all__ = ["FitResult"]


@dataclass(frozen=True)
class FitResult:
    """How a training run ended; the model itself holds its best weights.

    Attributes
    ----------
    status : str
        ``'finished'`` all steps were done; ``'reached'`` the loss asked for was reached;
        ``'converged'`` the optimiser (of the exact loss) saw no further descent;
        ``'stopped early'`` no better validation for the patience given;
        ``'diverged'`` the loss or its gradient became NaN or infinite, and the best weights before that
        were kept.
    loss : float
        Best validation loss, or the exact expected loss; NaN if the run diverged at once.
    steps : int
        Training steps, or evaluations of the exact loss.
    history : pandas.DataFrame
        One row per validation, or per evaluation of the exact loss.
    seconds : float
        Wall-clock time of all calls together, where a run was resumed.
    """

    status: str
    loss: float
    steps: int
    history: pd.DataFrame
    seconds: float
