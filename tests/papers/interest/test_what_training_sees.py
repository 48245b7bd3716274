"""One mode under several weights: best fit, exact and sampled training."""

from curse_of_memory.papers.interest import what_training_sees


def test_three_ways_to_one_memory():
    table = what_training_sees.data(powers=(0, 10)).table
    scale = table.target.max()
    # Gauss-Newton stops at a relative change of 1e-12 of the loss, 1e-6 of the weights
    assert (table.exact - table.best).abs().max() < 1e-4 * scale
    # AdamW's last steps wander with the gradient noise: 0.7 % at most over three seeds and four powers
    assert (table.sampled - table.best).abs().max() < 0.02 * scale
    late = table[table.lag == 50].set_index("p")
    assert late.exact[10] > late.exact[0] > 0


def test_axes_say_what_they_are():
    figure = what_training_sees.plot(what_training_sees.data(powers=(0, 2), steps=2, batch_size=8))
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines
