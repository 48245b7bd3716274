"""Checks of arguments, files, devices, random streams, places to run, and versions."""
