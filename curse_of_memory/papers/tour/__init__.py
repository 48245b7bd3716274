"""The tour for newcomers, and the measurement of your own models."""
