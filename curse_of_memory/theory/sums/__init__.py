"""Sums of exponentials: how they are found, and what none of them can do."""
