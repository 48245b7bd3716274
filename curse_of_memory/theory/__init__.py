"""Exact theory of memory, without torch: targets, biases, best approximations, certified bounds.

The modules here are what users call; the folders hold what they are made of.
"""
