"""Curse of memory (Li, Han, E, Li, 2009.07799): what linear RNNs approximate, and how long they train."""

from curse_of_memory.papers.linear_rnn_plateau import plateau_data, plateau_plot
from curse_of_memory.papers.linear_rnn_rates import rates_data, rates_plot

__all__ = ["plateau_data", "plateau_plot", "rates_data", "rates_plot"]
