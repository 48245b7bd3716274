"""Exact theory of memory, without torch: targets, biases, best approximations, certified bounds.

One package or module a concept. A package exports what users call; its modules are what that is made of.
"""
