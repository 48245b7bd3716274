"""Lemmas and theorems of the papers as functions and bounds that can be checked in numbers."""
