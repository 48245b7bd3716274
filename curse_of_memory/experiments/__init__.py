"""Experiments that several figures share: grids of settings, trained models and what is measured of them."""

from curse_of_memory.tools.extras import require

require("figures", "matplotlib")
