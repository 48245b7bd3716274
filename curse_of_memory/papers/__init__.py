"""One folder a paper, one module a figure or table: `data()` computes it, `plot()` draws it."""
