"""The rows of the audit as a table."""

import math
from dataclasses import replace

import pytest

from curse_of_memory.papers.audit import kernels_and_maps, loss_weights, memory_probes, perturbation
from curse_of_memory.papers.audit._table import Row, both_ways, over_draws, printed
from curse_of_memory.report.figure import Spread
from curse_of_memory.report.printed_table import as_latex, as_markdown

ROW = Row("σ and β", "$t^p$", "code: −1", "|x| at Δt", 2.0, 3e-7)
SMALL = {
    loss_weights: {"samples": 16, "memory_length": 2, "blank": 20, "sequences": 2},
    perturbation: {"width": 2, "horizon": 20, "draws": 4, "budget": 1},
    memory_probes: {"horizon": 12, "inputs": 3, "sequences": 4, "draws": 2},
    kernels_and_maps: {"horizon": 20, "terms": 2},
}


def test_cells_are_numbers_of_four_digits_and_their_factor():
    table = printed([ROW, Row("none", "", "", "zero", 0.0, math.inf), Row("many", "", "", "n", 3.0, 12345.6)])
    assert table["as in the code"].tolist() == [r"$3\times10^{-7}$", "∞", r"$1.235\times10^{4}$"]
    assert table.factor.tolist() == [r"$1.5\times10^{-7}$", "—", "4115"]


def test_cells_are_the_texts_of_the_rows():
    cells = printed([ROW])
    assert cells.index.tolist() == ["σ and β"]
    assert cells.iloc[0, :3].tolist() == ["$t^p$", "code: −1", "|x| at Δt"]


def test_both_ways_label_every_number():
    assert both_ways([ROW]) == {
        "σ and β: |x| at Δt, as in the paper": 2.0,
        "σ and β: |x| at Δt, as in the code": 3e-7,
    }


def test_a_number_over_draws_has_a_spread_under_its_label():
    row = replace(ROW, draws=(2e-7, 3e-7, 5e-7))
    found = over_draws([ROW, row])
    assert found == {"σ and β: |x| at Δt, as in the code": Spread(2e-7, 5e-7, 3)}
    assert set(found) <= set(both_ways([row]))


@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__.rpartition(".")[2])
def test_every_audit_has_all_its_numbers_and_prints_as_latex_and_markdown(module):
    data = module.data(**SMALL[module], device="cpu")
    assert len(data.headline) == 2 * len(data.printed), "two rows have one label"
    assert set(data.paper) <= set(data.headline)
    assert data.printed.map(lambda cell: bool(cell) and cell.isprintable()).all(axis=None)
    latex = as_latex(data.printed, data.title)
    assert latex.isascii(), [c for c in latex if not c.isascii()]
    assert as_markdown(data.printed).count("\n") == len(data.printed) + 2
    module.plot(data)
