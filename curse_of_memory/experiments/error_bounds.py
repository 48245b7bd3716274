"""Whether measured perturbation errors keep to their certified bounds."""

import pandas as pd

__all__ = ["within_bounds"]

ROUNDING = 1e-9  # far above the rounding of a sum over 4000 lags


def within_bounds(trained: pd.DataFrame) -> pd.Series:
    """Return which rows have lower <= worst <= upper and random <= upper, but for rounding.

    Parameters
    ----------
    trained : pandas.DataFrame
        Columns ``lower, upper, random, worst``.
    """
    slack = 1 + ROUNDING
    return (
        (trained.lower <= trained.worst * slack)
        & (trained.worst <= trained.upper * slack)
        & (trained.random <= trained.upper * slack)
    )
