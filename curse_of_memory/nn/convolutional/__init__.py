"""Convolutional layers that see the past only."""
