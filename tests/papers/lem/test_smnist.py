"""The figure of sMNIST: the log of the public code stands beside runs of its sizes alone."""

from typing import Any

import matplotlib as mpl
import pandas as pd

mpl.use("agg")

from curse_of_memory.papers.lem import _images, smnist
from curse_of_memory.report.figure import FigureData, Findings
from tests.papers.lem.image_figures import presets


def test_the_log_is_drawn_where_all_sizes_are_its_own_and_nowhere_else():
    preset = presets()["smnist"]
    table = pd.DataFrame(
        [("LEM", 0, e, 0.9 + e / 50, 0.9 + e / 50, 68_362, "finished") for e in range(3)],
        columns=["model", "seed", "epoch", "validation", "test", "weights", "status"],
    )
    for sizes, drawn in ((preset, True), (preset | {"epochs": 119}, False)):
        data = _as_figure(_images.accuracies("smnist", table, sizes, stand_in=""), sizes)
        legend = [t.get_text() for t in smnist.plot(data).legends[0].get_texts()]
        assert ("log of LEM" in legend) == ("log of coRNN" in legend) == drawn
        assert ("LEM, README" in legend) == drawn
        assert ("in brackets: 119 epochs (120). Test" in data.message) != drawn


def _as_figure(findings: Findings, sizes: dict[str, Any]) -> FigureData:
    return FigureData(
        name="lem/smnist", title="", table=findings.table, message=findings.message,
        headline=findings.headline, parameters=sizes, device="cpu", seconds=1.0,
    )  # fmt: skip
