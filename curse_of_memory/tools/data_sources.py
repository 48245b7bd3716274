"""The words for what a figure may read: real data or their stand-in, as it asks for them."""

__all__ = ["AUTO", "REAL", "SOURCES", "STAND_IN"]

AUTO, REAL, STAND_IN = "auto", "real", "stand-in"
SOURCES = (AUTO, REAL, STAND_IN)
"""What may be asked for: of ``"auto"`` becomes one of the other two."""
