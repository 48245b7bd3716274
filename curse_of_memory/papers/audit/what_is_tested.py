"""Audit of Long Expressive Memory (2110.04744): on what its public code tests, and what that says."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.nn import LEM
from curse_of_memory.papers.audit._table import Headings, Row, both_ways, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Batch, FitzHughNagumo, HeartRate
from curse_of_memory.tasks.fitzhugh_nagumo import autoregression_error
from curse_of_memory.tasks.heart_windows import (
    Windows,
    constant_error,
    nearest_error,
    patient_mean_error,
    share_beside_training,
)
from curse_of_memory.tasks.mel_features import FRAMES, HOP, RATE, keyword_features, mel_decibels
from curse_of_memory.tasks.noisy_images import NoisyImages
from curse_of_memory.tools import checks

__all__ = ["data", "other_network", "plot"]

HEADINGS = Headings("plain reading", "public code or its logs", "read plainly", "as in the code")
BLOCKS = 8  # of test series, of which the public code reads the last
SERIES, TESTED = 259, 39  # of EigenWorms, and in its official test set
MEAN, ONE_RUN = 92.3, 97.4359  # test accuracies of EigenWorms: README, and the one logged run
ANSWERS = ("constant", "mean of the patient", "nearest window for training")


@figure_data(
    title="Audit: what the public code of LEM tests",
    source="Long Expressive Memory (2110.04744): public code, its README and logs",
)
def data(
    *,
    series: int = 256,
    orders: int = 10,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compute what splits, paddings and selection of the public code do, beside a plain reading of them.

    *heart*: errors, in bpm, of answers that read no wave, for both divisions of the windows. *keywords*:
    shares of the classes among the clips of the official testing list. *neuron*: errors of the linear answer
    to the last `orders` voltages, in each eighth of `series` test series; the public code reads the last.
    Columns: ``panel, curve, kind, x, y``. The `data` are those of the heart rates.
    """
    if checks.positive_int("series", series) % BLOCKS:
        raise ValueError(f"series must be a multiple of {BLOCKS}, got {series}")
    task = HeartRate("official", data=data)
    heart = {division: task.divided(division).windows for division in ("official", "patients")}
    shares = _keyword_shares()
    blocks, whole = _neuron(series, checks.positive_int("orders", orders))
    curves = [
        curve(range(len(ANSWERS)), list(answers.values()), panel="heart", curve=division, kind="exact")
        for division, answers in {name: _blind(windows) for name, windows in heart.items()}.items()
    ]
    curves.append(
        curve(
            range(len(shares)), list(shares.values()), panel="keywords", curve="official list", kind="exact"
        )
    )
    curves.append(curve(range(1, BLOCKS + 1), blocks, panel="neuron", curve="eighths", kind="measured"))
    curves.append(curve([1, BLOCKS], [whole, whole], panel="neuron", curve="all", kind="measured"))
    rows = [
        *_heart_rows(heart),
        *_keyword_rows(shares, seed),
        *_image_rows(seed),
        *_worm_rows(),
        *_neuron_rows(blocks, whole, series, orders),
        _other_row(seed),
    ]
    near = share_beside_training(heart["official"])
    message = (
        f"Of the test windows of heart rates {100 * near:.1f} % lie at most 3 s beside a training window of "
        f"the same patient, whose label alone is right to {nearest_error(heart['official']):.2f} bpm; of "
        f"patients apart nothing is known, {constant_error(heart['patients']):.1f} bpm. Of the keywords "
        f"tested {100 * shares['unknown']:.0f} % are unknown, and none is silence."
    )
    table = pd.concat(curves, ignore_index=True)
    return Findings(
        table, message, both_ways(rows, HEADINGS), {}, printed(rows, HEADINGS), stand_in=task.stand_in
    )


def _blind(windows: Windows) -> dict[str, float]:
    """Return the errors of answers that know labels for training alone."""
    found = constant_error(windows), patient_mean_error(windows), nearest_error(windows)
    return dict(zip(ANSWERS, found, strict=True))


def _heart_rows(heart: Mapping[str, Windows]) -> list[Row]:
    fact = "division of the heart rates", "whole patients", "code: windows, by chance"
    apart, mixed = heart["patients"], heart["official"]
    others = {name: (_blind(apart)[name], _blind(mixed)[name]) for name in ANSWERS}
    return [
        Row(
            *fact,
            "test windows at most 3 s beside a training window of the same patient, share",
            share_beside_training(apart),
            share_beside_training(mixed),
        ),
        *(
            Row(*fact, f"error of an answer without a wave: {name} (bpm)", *both)
            for name, both in others.items()
        ),
    ]


def _keyword_shares() -> dict[str, float]:
    counts = reference("lem/keyword_counts")
    return dict(zip(counts.label, (counts.test / counts.test.sum()).tolist(), strict=True))


def _keyword_rows(shares: Mapping[str, float], seed: int) -> list[Row]:
    fact = "classes of the test set", "twelve of one size", "official testing list, its words as they are"
    equal = 1 / len(shares)
    accuracy = Row(*fact, "accuracy of always saying unknown", equal, shares["unknown"])
    silence = Row(*fact, "share of silence", equal, shares["silence"])
    short = np.random.default_rng(seed).integers(-(2**12), 2**12, RATE // 2).astype(np.int16)
    filled = [float(keyword_features([short], filling=value)[0, -20:].mean()) for value in (-80.0, 0.0)]
    loud = Row(
        "short clips", "filled with silence", "code: filled with 0 dB, the loudest value there is",
        f"normalised feature of the frames that fill {FRAMES}, of half a second of noise", *filled,
    )  # fmt: skip
    wave = torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)[None]
    first = [float(mel_decibels(wave, padding=way)[0, 0].mean()) for way in ("constant", "reflect")]
    frames = Row(
        "frames at the ends", "librosa from 0.9 on: zeros beyond the ends", "librosa 0.8.1: mirrored",
        f"mean level of the first frame of a tone, {HOP} samples a frame (dB)", *first,
    )  # fmt: skip
    return [accuracy, silence, loud, frames]


def _image_rows(seed: int) -> list[Row]:
    """Return the row on the noise behind images; which images these are does not matter."""
    variance = {}
    for noise in ("fresh", "fixed"):
        images = NoisyImages("test", noise=noise, horizon=40, size=100, seed=seed, data="stand-in")
        behind = torch.stack([images[k][0][-8:] for k in range(100)])
        variance[noise] = float(behind.var(0).mean())
    return [
        Row(
            "noise behind an image", "drawn for every image", "code: one sample for all images and epochs",
            "variance over images of a number behind the image", variance["fresh"], variance["fixed"],
        )
    ]  # fmt: skip


def _worm_rows() -> list[Row]:
    return [
        Row(
            "size of the test set of EigenWorms", "every series tested once, in several divisions",
            f"code: {TESTED} series, drawn once", "points of accuracy that one series is worth",
            100 / SERIES, 100 / TESTED,
        ),
        Row(
            "result on EigenWorms", "README: mean of several trainings", "log: one training",
            "test accuracy (%)", MEAN, ONE_RUN,
        ),
    ]  # fmt: skip


def _neuron(series: int, orders: int) -> tuple[list[float], float]:
    """Return the errors of the linear answer in each eighth of the test series, and in all of them."""
    sets = FitzHughNagumo().published(64, 1, series)
    parts = [Batch(*part) for part in zip(*(t.chunk(BLOCKS) for t in sets.test), strict=True)]
    return [autoregression_error(sets.train, part, orders) for part in parts], autoregression_error(
        sets.train, sets.test, orders
    )


def _neuron_rows(blocks: list[float], whole: float, series: int, orders: int) -> list[Row]:
    log = reference("lem/fitzhugh_nagumo_log").valid_rmse
    return [
        Row(
            "test series of the neuron", "all of them", "code: the last batch, an eighth",
            f"RMSE of a linear answer to {orders} voltages, {series} series", whole, blocks[-1],
        ),
        Row(
            "epoch that counts", "the last", "code: the best validation so far",
            "validation error of the logged run", float(log.iloc[-1]), float(log.min()),
        ),
    ]  # fmt: skip


def other_network(layer: LEM, x: torch.Tensor) -> torch.Tensor:
    """Return y of a network with the weights of a LEM whose y reads the old z, ``(batch, time, hidden)``.

    z_n as in LEM, and y_n = (1 − Δ̄t_n) y_{n−1} + Δ̄t_n tanh(W_y z_{n−1} + V_y x_n + b_y): what a library has
    under the name of LEM.

    Parameters
    ----------
    layer : LEM
        Of one layer, in one direction, without readout.
    x : Tensor of shape ``(batch, time, input)``
    """
    cell = layer.network.direction(0)
    W, V = cell.recurrent_weight.chunk(4), cell.input_weight.chunk(4)
    b = (cell.input_bias + cell.recurrent_bias).chunk(4)
    y = z = x.new_zeros(len(x), len(W[0]))
    answers = []
    for u in x.unbind(1):
        gate_y, gate_z = (cell.dt * torch.sigmoid(y @ W[k].mT + u @ V[k].mT + b[k]) for k in (0, 1))
        goal_y = torch.tanh(z @ W[3].mT + u @ V[3].mT + b[3])
        z = z + gate_z * (torch.tanh(y @ W[2].mT + u @ V[2].mT + b[2]) - z)
        y = y + gate_y * (goal_y - y)
        answers.append(y)
    return torch.stack(answers, 1)


@torch.no_grad()
def _other_row(seed: int) -> Row:
    layer = LEM(32, dt=0.5, input_size=2, output_size=None, seed=seed, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((8, 100, 2)))
    ours = layer(x)
    share = float((other_network(layer, x) - ours).norm() / ours.norm())
    return Row(
        "z in the goal of y", "code: the new one, $z_n$", "torchrecurrent 0.2.5: the old one, $z_{n-1}$",
        "distance of the answers on equal weights, share of their size", 0.0, share,
    )  # fmt: skip


def plot(data: FigureData) -> Figure:
    """Draw errors of answers without a wave, shares of the classes, and errors by test series."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, (heart, words, neuron) = plotting.canvas(3, width=14, height=4.8)
        _draw_heart(heart, panels["heart"])
        _draw_keywords(words, panels["keywords"])
        _draw_neuron(neuron, panels["neuron"])
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_heart(axis: Axes, curves: pd.DataFrame) -> None:
    names = {"official": "windows by chance, as in the code", "patients": "whole patients"}
    for (name, own), look in zip(groups(curves, "curve").items(), plotting.distinct(2), strict=True):
        plotting.measured(axis, own.x, own.y, look, ms=9, hollow=name == "patients", label=names[name])
    axis.set_xticks(range(len(ANSWERS)), ["constant", "mean of\nthe patient", "nearest\nlabel"])
    axis.set(ylim=(0, None), ylabel="error without a wave (bpm)", title="(a) Heart rate", xlim=(-0.4, 2.4))
    axis.legend(loc="center left")


def _draw_keywords(axis: Axes, shares: pd.DataFrame) -> None:
    labels = reference("lem/keyword_counts").label
    axis.bar(shares.x, 100 * shares.y, color=plotting.distinct(2)[0].color, label="official testing list")
    axis.axhline(100 / len(labels), color=plotting.INK, ls="--", lw=1.3, label="twelve of one size")
    axis.set_xticks(range(len(labels)), list(labels), rotation=60)
    axis.set(ylabel="share of the test clips (%)", title="(b) Keywords")
    axis.legend()


def _draw_neuron(axis: Axes, curves: pd.DataFrame) -> None:
    kinds, look = groups(curves, "curve"), plotting.distinct(2)[1]
    eighths, whole = kinds["eighths"], kinds["all"]
    plotting.measured(axis, eighths.x[:-1], eighths.y[:-1], look, hollow=True, ms=8, label="other eighths")
    plotting.measured(axis, eighths.x[-1:], eighths.y[-1:], look, ms=8, label="the last, as in the code")
    plotting.theory(axis, whole.x, whole.y, ls="--", lw=1.3, label="all series")
    axis.set(xlabel="eighth of the test series", ylabel="RMSE, linear answer", title="(c) The neuron")
    axis.legend()
