"""The largest error in a ball of weights, from below and from above."""
