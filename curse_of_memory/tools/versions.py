"""The version of this package, and those of the packages that the numbers of a figure depend on."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__", "numeric_versions"]

__version__ = "0.1.0"
"""The version of this package."""

NUMERIC = ("numpy", "scipy", "sympy", "numba", "torch", "matplotlib")
MODELS = ("transformers",)  # optional: they bring models to measure


def numeric_versions() -> dict[str, str]:
    """Return the installed versions of the packages that compute and draw, by name; none is imported.

    Examples
    --------
    >>> sorted(numeric_versions())[:3]
    ['matplotlib', 'numba', 'numpy']
    """
    installed = {}
    for name in (*NUMERIC, *MODELS):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            if name not in MODELS:
                raise
    return installed
