"""Figures of our own on the theory that the papers share."""
