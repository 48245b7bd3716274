"""Inverse approximation theory (Wang, Li & Li, 2305.19190): which memories are learnt stably."""
