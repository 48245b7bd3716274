"""Gradient flow on the exact loss."""
