"""Experiments that figures of several papers share: what is trained, measured and put into a long table."""
