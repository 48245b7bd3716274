"""The labelled table that a perturbation curve is, which also draws itself."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PerturbationCurve"]


class PerturbationCurve(xr.Dataset):
    """The result of ``perturbation_curve``, which says what its variables are: errors over the radius β.

    Parameters
    ----------
    data_vars, coords, attrs
        As of xarray.Dataset.
    """

    __slots__ = ()

    def plot(self, ax: "Axes | None" = None) -> "Axes":  # in place of xarray's, which draws no Dataset
        """Draw the largest error seen within each radius, and the errors of the draws as thin lines.

        Radii that are zero are drawn as a dotted line at the error of the model itself. Bars are standard
        errors, where errors are sampled; what is infinite is not drawn.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; new ones, in the style of the figures, unless given.

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib, which the extra ``figures`` brings.
        """
        from curse_of_memory.report import plotting  # brings matplotlib, which a measurement does without

        betas = self.beta.values
        some = betas > 0
        with plotting.on(ax) as axis:
            (look,) = plotting.distinct(1)
            for draw in self.draw_error.values.T:
                plotting.theory(axis, betas[some], _finite(draw)[some], plotting.INK, lw=0.5, alpha=0.4)
            for error in self.error.values[~some]:
                axis.axhline(error, color=plotting.INK, ls=":", lw=1, label=r"$E(0)$")
            sampled = self.attrs["bound"] != "lower"
            plotting.error_bars(
                axis,
                betas[some],
                _finite(self.error.values)[some],
                self.standard_error.values[some] if sampled else np.zeros(some.sum()),
                look,
                joined="-",
                label=f"largest of {self.sizes['draw']} draws"
                + (" and its standard error" if sampled else ", a lower bound"),
            )
            axis.set(
                xlabel=r"radius $\beta$ of the perturbation of weights",
                ylabel=r"error $E(\beta)$",
            )
            plotting.log_scale(axis, "x", "y")
            axis.legend()
        return axis


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
