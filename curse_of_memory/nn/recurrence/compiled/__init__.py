"""Compiled loops: how they are compiled and kept on disk, shared out among threads, and their tanh."""
