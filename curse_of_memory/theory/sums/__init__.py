"""Sums of exponentials: searches for the best ones, and lower bounds of the error of all of them."""
