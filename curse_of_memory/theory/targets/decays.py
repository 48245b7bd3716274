"""The class of a decay: exponential, polynomial, faster than every exponential, compact, none, or unknown."""

from dataclasses import dataclass

from curse_of_memory.tools import checks

__all__ = ["DECAYS", "Decay"]

DECAYS = ("exponential", "polynomial", "faster", "compact", "none", "unknown")


@dataclass(frozen=True)
class Decay:
    """The class of a decay as t → ∞ (exponential, polynomial, ...) and its rate.

    Parameters
    ----------
    kind : str
        ``"exponential"``, ``"polynomial"``, ``"faster"`` than every exponential, ``"compact"``
        support, ``"none"`` (does not tend to 0), or ``"unknown"``.
    rate : float, optional
        λ of e^{−λt} (per unit time), or the exponent ω of t^{−ω}; None for the other classes.

    Raises
    ------
    ValueError
        If the kind is unknown, or the rate is missing, superfluous or not positive.

    Examples
    --------
    >>> Decay("exponential", 0.5)
    Decay(kind='exponential', rate=0.5)
    """

    kind: str
    rate: float | None = None

    def __post_init__(self):
        checks.one_of("kind", self.kind, DECAYS)
        if self.kind in ("exponential", "polynomial"):
            if self.rate is None:
                raise ValueError(f"rate must be given for decay {self.kind!r}, got None")
            checks.positive("rate", self.rate)
        elif self.rate is not None:
            raise ValueError(f"rate must be None for decay {self.kind!r}, got {self.rate!r}")
