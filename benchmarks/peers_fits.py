"""What a user would take instead of our fit by exponentials: each finds the multipliers of m modes.

All are given the same values; the coefficients are then the best of these modes, so that nobody's error is
larger than it must be. A mode beyond the unit circle is left out, as no memory.
"""

import importlib
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import linalg, optimize

from benchmarks.peers import Peer

Finder = Callable[[np.ndarray, int], np.ndarray]


def error(values: np.ndarray, multipliers: np.ndarray) -> float:
    """Return the relative error of the best Σ cᵢ zᵢᵏ.

    Examples
    --------
    >>> error(0.5 ** np.arange(20.0), np.array([0.5])) < 1e-14
    True
    >>> error(0.5 ** np.arange(20.0), np.array([2.0]))
    1.0
    """
    z = np.asarray(multipliers, complex)
    z = z[np.abs(z) <= 1]
    waves = z ** np.arange(values.size)[:, None]
    left = values - np.real(waves @ np.linalg.lstsq(waves, values.astype(complex))[0]) if z.size else values
    return float(np.linalg.norm(left) / np.linalg.norm(values))


def log_spaced(values: np.ndarray, terms: int) -> np.ndarray:
    """Search from rates with even logarithms: the plain way."""
    return _polished(values, np.geomspace(1 / values.size, 3, terms))


def _polished(values: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Search real rates by ``scipy.optimize.least_squares``, coefficients solved for within."""
    lags = np.arange(values.size)

    def residual(log_rates):
        waves = np.exp(-np.outer(lags, np.exp(log_rates)))
        return values - waves @ np.linalg.lstsq(waves, values)[0]

    found = optimize.least_squares(residual, np.log(rates), xtol=1e-12, ftol=1e-12, gtol=1e-14)
    return np.exp(-np.exp(found.x))


def esprit(values: np.ndarray, terms: int) -> np.ndarray:
    """Take the shift of the leading singular vectors of the Hankel matrix."""
    middle = values.size // 2
    U = np.linalg.svd(linalg.hankel(values[:middle], values[middle - 1 :]))[0][:, :terms]
    return np.linalg.eigvals(np.linalg.pinv(U[:-1]) @ U[1:])


def esprit_polished(values: np.ndarray, terms: int) -> np.ndarray:
    """Search on from there."""
    return _polished(values, -np.log(np.clip(np.real(esprit(values, terms)), 1e-6, 1 - 1e-6)))


def prony(values: np.ndarray, terms: int) -> np.ndarray:
    """Take the roots of the best linear recurrence, by least squares."""
    past = np.column_stack([values[terms - 1 - k : -1 - k] for k in range(terms)])
    return np.roots(np.append(1, -np.linalg.lstsq(past, values[terms:])[0]))


def aaa(values: np.ndarray, terms: int) -> np.ndarray:
    """Take the poles of scipy's AAA, given the z-transform on a part of the real line where it is settled."""
    approximation = importlib.import_module("scipy.interpolate")
    if not hasattr(approximation, "AAA"):
        raise ImportError("this scipy has no AAA")
    x = np.geomspace(10 / values.size, 10, 200)
    transformed = np.exp(-np.outer(x, np.arange(values.size))) @ values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that so few terms are not enough for full precision
        found = approximation.AAA(np.exp(x), transformed, max_terms=terms + 1, clean_up=False)
    return found.poles()


def vector_fitting(values: np.ndarray, terms: int) -> np.ndarray:
    """Take the poles of scikit-rf's vector fitting, given the frequency response, by the bilinear map."""
    package, module = importlib.import_module("skrf"), importlib.import_module("skrf.vectorFitting")
    f = np.linspace(0.001, 0.45, 200)
    response = np.exp(-2j * np.pi * np.outer(f, np.arange(values.size))) @ values
    grid = package.Frequency.from_f(np.tan(np.pi * f) / (2 * np.pi), unit="hz")
    fit = module.VectorFitting(package.Network(frequency=grid, s=response[:, None, None]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.vector_fit(n_poles_real=terms, n_poles_cmplx=0, fit_constant=True)
    poles = np.concatenate([[p] if p.imag == 0 else [p, p.conj()] for p in fit.poles])
    return (1 + poles) / (1 - poles)


def era(values: np.ndarray, terms: int) -> np.ndarray:
    """Take the eigenvalues of python-control's eigensystem realization."""
    control = importlib.import_module("control")
    middle, without_feedthrough = values.size // 2, np.append(0, values)[None, None]
    system, _ = control.eigensys_realization(without_feedthrough, terms, m=middle, n=middle, dt=1.0)
    return np.linalg.eigvals(system.A)


def balanced(values: np.ndarray, terms: int) -> np.ndarray:
    """Reduce the shift register that holds the values by slycot's balanced truncation.

    python-control's ``balanced_reduction`` calls it, but takes every system for one in continuous time.
    """
    slycot = importlib.import_module("slycot")
    n = values.size
    A, B, C = np.eye(n, k=-1), np.eye(n, 1), values[None].copy()
    _, reduced, *_ = slycot.ab09ad("D", "B", "N", n, 1, 1, A, B, C, nr=terms)
    return np.linalg.eigvals(reduced)


FINDERS: dict[str, Finder] = {
    "ESPRIT (numpy)": esprit,
    "ESPRIT and scipy's least_squares": esprit_polished,
    "Prony (numpy)": prony,
    "AAA (scipy)": aaa,
    "vector fitting (scikit-rf)": vector_fitting,
    "ERA (python-control)": era,
    "balanced truncation (slycot)": balanced,
}


def peers(values: np.ndarray, terms: int, ours: Callable[[], float]) -> dict[str, Callable[[], Peer]]:
    """Return by name what prepares each way to the fit of `values`; `ours` returns our error."""

    def prepare(find: Finder) -> Peer:
        reached = error(values, find(values, terms))
        return Peer(partial(find, values, terms), reaches=lambda: reached / ours())

    return {name: partial(prepare, find) for name, find in FINDERS.items()}
