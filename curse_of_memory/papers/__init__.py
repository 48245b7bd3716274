"""One folder a paper, one module a figure or table: `data()` computes it, `plot()` draws it."""

from curse_of_memory.tools.extras import require

require("figures", "matplotlib")
