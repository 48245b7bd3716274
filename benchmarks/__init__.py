"""Side by side with the plain way of doing the same work, in one run: ``python -m benchmarks``.

A row of the table has two ways to the same numbers, which take turns on the clock, and the bound: the
products and the memory traffic that the work cannot do without, over what the same machine reaches on a large
matrix product or copy. No time is asserted anywhere; that both ways give the same numbers is tested.

    plain.py      the plain ways: eager torch, as one writes it first
    rows.py       what a row is
    timing.py     turns on the clock, ratios, the speed of the machine
    memory.py     peak memory of a row, in a process of its own
    linear.py, fits.py, nonlinear.py, gated.py, layers.py, forgetting.py, growth.py      the rows
    peers.py     what other packages take, where they are installed: peers.txt, by ``make bench``
    peers_jax.py, peers_fits.py      these ways
    remarks.py   what a row says of them
    all_rows.py   those of the table
    table.py      the Markdown table
"""
