"""Settings of the public scripts of Expire-Span beside those of our figures, and sizes of their models."""

import ast
import inspect
import math
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.overrides import TorchFunctionMode

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tools import checks, devices
from curse_of_memory.training import fit_stream

__all__ = ["closed_form", "counted", "data", "ours", "plot"]

FIGURES = ("object_collision", "size_against_error", "spans", "instructions", "shortening", "characters")
FIGURES += ("spans_over_text",)
SCALES = {"fast": "seconds", "paper": "full"}
# what figures call a setting, where it is not its name
CALLED = {"price": ("price", "prices"), "updates": ("updates", "steps")}
SETTINGS = ["layers", "width", "feedforward", "heads", "norm", "block", "max_span", "ramp", "price"]
SETTINGS += ["initial_share", "shorten", "pre_divide", "learning_rate", "warmup", "clip", "dropout"]
SETTINGS += ["batch_size", "updates"]
LENGTHS = {"ramp": "ramp $R$", "block": "block $M$", "first": "first spans $pL$", "max_span": "limit $L$"}
SHORT = {"feedforward": "inner width", "max_span": "L", "ramp": "R", "block": "M", "price": "α"}
SHORT |= {"initial_share": "p", "pre_divide": "divisor", "learning_rate": "rate", "batch_size": "batch"}
SHORT |= {"counted": "parameters (M)", "millions": "printed (M)"}
UNSEEN_BLOCK = 512  # where none was seen
DRAWN_LAYERS = (1, 6, 12, 18, 24)


@figure_data(
    title="Settings of the public scripts, and the sizes of their models",
    source="Expire-Span (2105.06548), hyperparameters and table 2; public scripts",
)
def data(*, seed: int = 0, device: str = "auto") -> Findings:
    """Build the models of the public scripts without numbers, and count their parameters.

    Columns: ``panel, experiment, seed``; in *settings* those of the settings with ``counted, closed,
    millions, source``: the parameters of our transformer, what a closed form says, and what is printed, in
    millions; in *layers* ``layers, counted, closed`` of the same sizes with other numbers of layers.
    (Nothing here is random.)
    """
    checks.seed("seed", seed)
    devices.resolve_device(device)
    published = reference("expire_span/settings")
    published["counted"] = [counted(row) / 1e6 for _, row in published.iterrows()]
    published["closed"] = [closed_form(row) / 1e6 for _, row in published.iterrows()]
    published["price"] = published.price.map(_number)
    table = pd.concat([published, ours()], ignore_index=True).assign(panel="settings")
    grown = []
    for own in groups(rows(published, law="Expire-Span"), ["width", "feedforward"]).values():
        row = own.iloc[0]
        for layers in DRAWN_LAYERS:
            other = row.copy()
            other["layers"] = layers
            millions = {"counted": counted(other) / 1e6, "closed": closed_form(other) / 1e6}
            grown.append({"panel": "layers", "experiment": row.experiment, "layers": layers, **millions})
    printed = published.dropna(subset="millions").set_index("experiment")
    headline = {f"million parameters, {name}": float(n) for name, n in printed.counted.items()}
    paper = {f"million parameters, {name}": float(n) for name, n in printed.millions.items()}
    off = (printed.counted - printed.millions).abs().max()
    first = printed.iloc[0]
    words = first.vocabulary * (2 * first.width + 1) / 1e6
    message = (
        f"Our transformer with the settings of the scripts has {first.counted:.2f} million parameters in 12 "
        f"layers, and {printed.counted.iloc[1]:.1f} in 24. What is printed are whole millions, and ours are "
        f"within {off:.2f} of them. Of the 12 layers {words:.2f} million are embedding and readout of "
        f"{first.vocabulary:.0f} characters. Adaptive-Span has more, for it has a position for each of 8192 "
        f"ages, and Expire-Span for {first.block:.0f}."
    )
    table = pd.concat([table, pd.DataFrame(grown)], ignore_index=True).assign(seed=seed)
    return Findings(table, message, headline, paper, _printed(table))


class _OnMeta(TorchFunctionMode):
    """Makes tensors without numbers, wherever they are asked for."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        options = dict(kwargs or {})
        if "device" in options:
            options["device"] = "meta"
        return func(*args, **options)


def counted(setting: pd.Series) -> int:
    """Return how many parameters our transformer has with a setting; it is built without numbers.

    Parameters
    ----------
    setting : pandas.Series
        ``law``, a row of the table; positions are learnt for the ages of a block, with Adaptive-Span for all
        up to the limit of spans.
    """
    if setting.law == "Adaptive-Span":
        limit = int(setting.max_span)
        law, block = AdaptiveSpan(limit, 32), limit
    else:
        block = UNSEEN_BLOCK if math.isnan(setting.block) else int(setting.block)
        law = ExpireSpan(block if math.isnan(setting.max_span) else int(setting.max_span), 1)
    with _OnMeta():
        model = CausalTransformer(
            int(setting.width),
            int(setting.layers),
            heads=int(setting.heads),
            feedforward=int(setting.feedforward),
            vocabulary=int(setting.vocabulary),
            positions="block",
            norm=setting.norm,
            activation="relu",
            attention_bias=False,
            scaled_residuals=setting.norm == "pre",
            forgetting=law,
            sees_itself=False,
            zero_memories=block,
            block=block,
            device="meta",
        )
    return sum(p.numel() for p in model.parameters())


def closed_form(setting: pd.Series) -> float:
    """Return N (4d² + 2df + f + 5d + s) + V (2d + 1) + (d/K) P, and 2d more with a last norm.

    N layers of d channels with K heads and the inner width f; V tokens, P ages with a position; and s = d + 1
    for the predictor of spans, or K for a span of each head.

    Parameters
    ----------
    setting : pandas.Series
        As for :func:`counted`.
    """
    N, d, f, K = setting.layers, setting.width, setting.feedforward, setting.heads
    ages, spans = setting.block, d + 1
    if setting.law == "Adaptive-Span":
        ages, spans = setting.max_span, K
    ages = UNSEEN_BLOCK if math.isnan(ages) else ages
    layer = 4 * d * d + 2 * d * f + f + 5 * d + spans
    return float(
        N * layer + setting.vocabulary * (2 * d + 1) + d // K * ages + 2 * d * (setting.norm == "pre")
    )


def ours() -> pd.DataFrame:
    """Return the settings of our figures that train on streams, at both scales, as far as they set them."""
    folder = files("curse_of_memory.papers.expire_span")
    presets = yaml.safe_load(folder.joinpath("paper.yaml").read_text(encoding="utf-8"))["presets"]["paper"]
    table, trained = [], inspect.signature(fit_stream).parameters
    for figure in FIGURES:
        fast = _defaults(folder.joinpath(f"{figure}.py").read_text(encoding="utf-8"))
        for scale, own in {"fast": fast, "paper": fast | presets.get(figure, {})}.items():
            row: dict[str, Any] = {"experiment": f"{figure} ({SCALES[scale]})", "law": "Expire-Span"}
            row |= {name: _of(own, name) for name in SETTINGS}
            shorten = "yes, no" if figure == "shortening" else "yes" if own.get("shorten", False) else "no"
            unset = {"norm": "pre", "pre_divide": 1.0, "dropout": 0.0, "warmup": 0}
            unset["clip"] = trained["clip"].default
            row |= {name: own.get(name, value) for name, value in unset.items()}
            row |= {
                "feedforward": own.get("feedforward", 2) * own["width"],
                "shorten": shorten,
                "source": "ours",
            }
            table.append(row | {"price": _number(_of(own, "price"))})
    return pd.DataFrame(table)


def _of(own: dict[str, Any], name: str) -> Any:
    return next((own[called] for called in CALLED.get(name, (name,)) if called in own), math.nan)


def _defaults(code: str) -> dict[str, Any]:
    """Return the default values of the function `data` of a module: figures do not import each other."""
    function = next(
        part for part in ast.parse(code).body if isinstance(part, ast.FunctionDef) and part.name == "data"
    )
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {argument.arg: ast.literal_eval(value) for argument, value in named if value is not None}


def _number(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_number, value))
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float | np.number) or math.isnan(value):
        return "—"
    return f"{value:.6g}"


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings as texts."""
    own = rows(table, panel="settings")
    names = ["experiment", *SETTINGS, "counted", "millions", "source"]
    printed = own[names].astype(object)
    printed["counted"] = ["—" if pd.isna(n) else f"{n:.2f}" for n in own.counted]
    for name in names:
        printed[name] = [_number(value) for value in printed[name]]
    printed.columns = [SHORT.get(name, name).replace("_", " ") for name in names]
    return printed.set_index("experiment")


def plot(data: FigureData) -> Figure:
    """Draw parameters by layers, counted on their closed form, and the lengths of all settings."""
    settings = rows(data.table, panel="settings")
    with plotting.style():
        figure, (left, right) = plotting.canvas(2, width=12.4, height=6)
        _draw_sizes(left, rows(data.table, panel="layers"), settings)
        _draw_lengths(right, settings)
        for axis in (left, right):
            plotting.legend_below(axis, 2, size=9)
    return figure


def _draw_sizes(axis: Axes, table: pd.DataFrame, settings: pd.DataFrame) -> None:
    sizes = groups(table, "experiment")
    for (name, own), look in zip(sizes.items(), plotting.distinct(len(sizes)), strict=True):
        d, f = rows(settings, experiment=name)[["width", "feedforward"]].iloc[0].astype(int)
        plotting.theory_and_measured(
            axis,
            (own.layers, own.closed),
            (own.layers, own.counted),
            look,
            label=f"$d={d}$, $f={f}$, counted",
        )
    printed = rows(settings, law="Expire-Span").dropna(subset="millions")
    axis.errorbar(
        printed.layers,
        printed.millions,
        0.5,
        color=plotting.INK,
        marker="*",
        ms=11,
        ls="none",
        capsize=3,
        label="printed, to the million",
    )
    axis.set(xlabel="layers", ylabel="million parameters", title="(a) Parameters")


def _draw_lengths(axis: Axes, settings: pd.DataFrame) -> None:
    shown = settings.dropna(subset=["max_span", "ramp"]).reset_index(drop=True)
    lengths = shown.assign(first=shown.initial_share * shown.max_span)
    for (name, label), look in zip(LENGTHS.items(), plotting.distinct(len(LENGTHS)), strict=True):
        plotting.measured(axis, lengths[name], -lengths.index, look, ms=7, label=label)
    axis.set_yticks(-lengths.index, lengths.experiment, fontsize=9)
    axis.set(xscale="log", xlabel="steps", title="(b) Lengths: public scripts, and ours")
