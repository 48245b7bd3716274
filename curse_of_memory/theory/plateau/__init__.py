"""Gradient flow on the exact loss, and how long it waits on a plateau for a far memory."""

from curse_of_memory.theory.plateau.times import GrowthRate, Plateau, growth_rate, plateau_time

__all__ = ["GrowthRate", "Plateau", "growth_rate", "plateau_time"]
