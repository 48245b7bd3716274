"""The drawing of the LEM cell: its arrows are what the layer depends on, and no more."""

import dataclasses

import numpy as np
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem import cell
from curse_of_memory.report import plotting


@pytest.fixture(scope="module")
def drawn():
    return cell.data(width=3, device="cpu")


def start(seed, width):
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal(2),
        "old y": random.uniform(-1, 1, width),
        "old z": random.uniform(-1, 1, width),
    }


def test_the_cell_along_the_arrows_is_that_of_the_equations():
    """Written out once more, from the layer's own steps and the goals that they imply."""
    layer = LEM(5, dt=0.3, input_size=2, output_size=None, seed=4, dtype=torch.float64)
    begin = start(0, 5)
    values = cell.step(layer, begin)
    x = torch.from_numpy(begin["x"]).reshape(1, 1, 2)
    state = torch.from_numpy(np.concatenate([begin["old y"], begin["old z"]]))[None]
    with torch.no_grad():
        steps, last = layer.steps(x, state), layer.run(x, state).last.numpy()[0]
    dt = 0.3
    np.testing.assert_allclose(values["gate of z"], steps.z[0, 0], rtol=1e-13)
    np.testing.assert_allclose(values["gate of y"], steps.y[0, 0], rtol=1e-13)
    np.testing.assert_allclose(np.concatenate([values["new y"], values["new z"]]), last, rtol=0, atol=1e-15)
    assert (values["gate of z"] < dt).all()


def test_the_difference_to_the_layer_is_rounding(drawn):
    larger = cell.data(width=40, dt=1.0, seed=7, device="cpu")
    for found, most in ((drawn, 1e-15), (larger, 1e-14)):
        assert float(found.headline["largest difference to nn.LEM"]) < most


@pytest.mark.parametrize("changed", ["x", "old y", "old z"])
def test_what_changes_with_an_input_is_what_arrows_lead_to(drawn, changed):
    """Reached along the arrows, directly or through others; nothing else moves."""
    layer = LEM(3, dt=0.5, input_size=2, output_size=None, seed=1, dtype=torch.float64)
    before = start(1, 3)
    after = cell.step(layer, before | {changed: before[changed] + 0.1})
    before = cell.step(layer, before)
    moved = {name for name in cell.ORDER if not np.array_equal(before[name], after[name])}
    reached, waiting = set(), {changed}
    while waiting:
        one = waiting.pop()
        for target in drawn.table[drawn.table.source == one].target:
            waiting |= {target} - reached
            reached.add(target)
    assert moved == reached


def test_the_new_z_is_read_by_the_goal_of_y_alone(drawn):
    assert drawn.table[drawn.table.source == "new z"].target.tolist() == ["goal of y"]
    assert "goal of z" not in drawn.table[drawn.table.source == "old z"].target.tolist()
    assert drawn.headline["arrows"] == len(drawn.table) == 14


def test_arrows_start_and_end_at_what_they_join():
    """From the edge of a box, a circle or the side of the picture; to the edge of one."""
    places = {name: center for name, (center, _) in cell.BOXES.items()} | cell.MIXED
    for arrow in cell.ARROWS:
        for name, (x, y) in ((arrow.source, arrow.points[0]), (arrow.target, arrow.points[-1])):
            if name in places:
                off_x, off_y = abs(x - places[name][0]), abs(y - places[name][1])
                assert off_x <= cell.WIDE / 2 + 1e-9
                assert off_y <= cell.HIGH / 2 + 1e-9
            else:
                assert (x, y) == (0.9, cell.ENDS[name][0][1])


def test_what_is_drawn_is_what_is_in_the_table(drawn):
    (axis,) = cell.plot(drawn).axes
    texts = {text.get_text() for text in axis.texts}
    assert {text for _, text in cell.BOXES.values()} <= texts
    with plotting.style():
        fewer = cell.plot(dataclasses.replace(drawn, table=drawn.table.iloc[:5]))
    assert len(fewer.axes[0].lines) == len(axis.lines) - 9


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="width must"):
        cell.data(width=0, device="cpu")
    with pytest.raises(ValueError, match="dt must"):
        cell.data(dt=2.0, device="cpu")
