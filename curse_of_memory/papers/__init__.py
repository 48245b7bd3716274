"""One module a paper; per figure or table a ``*_data()`` that computes and a ``*_plot()`` that draws."""
