"""Runs compiled loops over torch tensors on the CPU, the batch shared out among threads.

Whatever the thread, subnormal numbers are flushed to zero while a loop runs in it.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from curse_of_memory.nn._torch_private import is_transformed
from curse_of_memory.nn.recurrence.compiled.subnormals import with_subnormals_flushed

__all__ = ["on_cpu", "over_batch"]

# below so many numbers a second thread costs more than it saves
WORTH_A_THREAD = 1 << 15
# for each thread: one may share its core with one of torch's, which wait in a loop; others then do more
SHARES = 4


def on_cpu(*tensors: Tensor) -> bool:
    """Whether all `tensors` are ordinary ones on the CPU, whose memory compiled loops can read."""
    return all(t.device.type == "cpu" and not is_transformed(t) for t in tensors)


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="recurrence")


def over_batch(loop: Callable, batch: int, *tensors: Tensor) -> None:
    """Call ``loop(first, last, *arrays)`` for shares of the batch, in as many threads as torch uses.

    Parameters
    ----------
    loop : callable
        A numba function compiled with ``nogil=True``; it writes its results into some of the arrays.
    batch : int
        Number of independent sequences.
    tensors : Tensor
        Handed on as numpy arrays that share their memory.
    """
    arrays = [t.detach().resolve_conj().numpy() for t in tensors]
    threads = min(torch.get_num_threads(), batch, 1 + sum(a.size for a in arrays) // WORTH_A_THREAD)
    if threads <= 1:
        with_subnormals_flushed(loop, 0, batch, *arrays)
        return
    count = min(batch, SHARES * threads)
    shares = deque(pairwise(batch * i // count for i in range(count + 1)))

    def work() -> None:
        while True:
            try:
                first, last = shares.popleft()
            except IndexError:  # nothing is left
                return
            with_subnormals_flushed(loop, first, last, *arrays)

    others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()  # this thread works, too, so that none waits for another's core
    for other in others:
        other.cancel() or other.result()
