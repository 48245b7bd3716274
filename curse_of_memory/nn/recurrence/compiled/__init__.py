"""Compiled loops: how they are compiled and kept on disk, shared out among threads, and their tanh."""

from curse_of_memory.nn.recurrence.compiled.compile_cache import FIRST_TIME, nothing_compiled

__all__ = ["FIRST_TIME", "nothing_compiled"]
