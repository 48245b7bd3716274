"""A Dask cluster that the environment names: independent runs go there, whichever notebook starts them."""

import contextlib
import os
from collections.abc import Iterator

import joblib
from joblib.parallel import get_active_backend

from curse_of_memory.tools.checks import first_line
from curse_of_memory.tools.extras import require

__all__ = ["SCHEDULER", "named_cluster", "reached"]

SCHEDULER = "CURSE_OF_MEMORY_DASK"
"""The variable with the address of the scheduler, such as ``tcp://10.0.0.1:8786``."""
ANSWERS_WITHIN = 10  # seconds


@contextlib.contextmanager
def named_cluster() -> Iterator[None]:
    """Let joblib's runs in the body take place on the cluster that `SCHEDULER` names.

    Without that variable, where joblib has been told otherwise, and within such a run, nothing is changed.

    Raises
    ------
    ConnectionError
        If no scheduler answers there.
    """
    address = os.environ.get(SCHEDULER, "")
    if not address or not _to_be_sent():
        yield
        return
    with reached(address), joblib.parallel_config(backend="dask"):
        yield


@contextlib.contextmanager
def reached(address: str) -> Iterator[None]:
    """Keep a connection to the scheduler at this address open.

    Raises
    ------
    ConnectionError
        If there is none.
    ImportError
        If Dask is not installed.
    """
    require("cluster", "dask", "distributed")
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWERS_WITHIN)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address}: {first_line(error)}") from None
    with client:
        yield


def _to_be_sent() -> bool:
    """Return whether runs would take place one after the other here, and this is not one of them."""
    backend, _ = get_active_backend()
    if type(backend).__name__.startswith("Dask") or getattr(backend, "nesting_level", 0):
        return False
    if getattr(backend, "supports_sharedmem", False) and type(backend).__name__ != "SequentialBackend":
        return False
    # joblib has no stubs: None is its own word for what its surroundings say
    if joblib.effective_n_jobs(None) != 1:  # pyright: ignore[reportArgumentType]
        return False
    with contextlib.suppress(ImportError, ValueError):
        from distributed import get_worker

        get_worker()
        return False
    return True
