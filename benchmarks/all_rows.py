"""All rows of the table, in its order."""

from benchmarks import fits, forgetting, gated, layers, linear, nonlinear
from benchmarks.rows import Row

ROWS: list[Row] = [*linear.ROWS, *fits.ROWS, *nonlinear.ROWS, *gated.ROWS, *layers.ROWS, *forgetting.ROWS]
