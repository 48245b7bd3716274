"""Whether measured perturbation errors lie within their certified bounds."""

import pandas as pd

__all__ = ["within_bounds"]

ROUNDING = 1e-9  # far above the rounding of a sum over 4000 lags


def within_bounds(trained: pd.DataFrame) -> pd.Series:
    """Return for each row whether lower <= worst <= upper and random <= upper, up to rounding.

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
