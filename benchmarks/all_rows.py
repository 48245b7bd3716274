"""All rows of the table, in its order."""

from benchmarks import forgetting, layers, linear, nonlinear
from benchmarks.rows import Row

ROWS: list[Row] = [*linear.ROWS, *nonlinear.ROWS, *layers.ROWS, *forgetting.ROWS]
