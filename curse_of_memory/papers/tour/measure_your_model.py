"""Who remembers how long: untrained recurrent, attention and state-space models of torch and transformers."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.measure import gradient_norms, memory_function, memory_report
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups
from curse_of_memory.theory.decay import DecayFit, decay
from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require

__all__ = ["MaskedEncoder", "data", "plot", "report"]

DECIDED = 0.5  # confidence from which a law is drawn and told
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


class MaskedEncoder(nn.Module):
    """torch's TransformerEncoder under a causal mask, without positions, for one input channel.

    Parameters
    ----------
    width : int
        Channels; a multiple of four, the number of heads.
    layers : int
        How many layers.
    """

    def __init__(self, width: int, layers: int = 2):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=2 * width, batch_first=True)
        self.embed = nn.Linear(1, width)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, 1)`` to ``(batch, time, width)``."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device, dtype=x.dtype)
        return self.encoder(self.embed(x), mask=mask, is_causal=True)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers from advertising faster kernels on stderr, inside this context."""
    require("models", "transformers")
    from transformers.utils import logging  # takes seconds to import

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _models(horizon: int, width: int, layers: int, vocabulary: int, seed: int) -> dict[str, nn.Module]:
    """Build the models with random weights; nothing is downloaded."""
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2Model
    from transformers.models.mamba.configuration_mamba import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaModel

    tokens = {"vocab_size": vocabulary, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    mamba = MambaConfig(hidden_size=width, num_hidden_layers=layers, state_size=8, use_cache=False, **tokens)
    gpt2 = GPT2Config(n_embd=width, n_layer=layers, n_head=4, n_positions=horizon, use_cache=False, **tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {
            "LSTM": nn.LSTM(1, width, num_layers=layers, batch_first=True),
            "GRU": nn.GRU(1, width, num_layers=layers, batch_first=True),
            "Transformer": MaskedEncoder(width, layers),
            "Mamba": MambaModel(mamba),
            "GPT-2": GPT2Model(gpt2),
        }


@figure_data(
    title="Who remembers how long: LSTM, GRU, Transformer, Mamba, GPT-2 with random weights",
    source="ours; cf. IAT (2305.19190), figures 10 and 12",
)
def data(
    *,
    horizon: int = 100,
    width: int = 32,
    layers: int = 2,
    vocabulary: int = 192,
    samples: int = 2,
    precision: str = "float32",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure memory (impulse probe) and gradient norms of five untrained models.

    LSTM, GRU and Transformer read one channel of numbers; Mamba and GPT-2 read tokens, and the
    supremum runs over all of them in place of token 0. Columns: ``model, parameters, lag, memory,
    noise_floor, law, gradient``; `law` is the fitted decay at the lags that it was fitted to, if its
    confidence is at least 1/2, and `gradient` the mean norm over `samples` random inputs.
    """
    dtype = PRECISIONS[checks.one_of("precision", precision, PRECISIONS)]
    curves, headline, fits = [], {}, {}
    with _quiet_transformers():
        for name, model in _models(horizon, width, layers, vocabulary, seed).items():
            memory = memory_function(
                model, horizon, probe="impulse", draws=vocabulary, dtype=dtype, seed=seed, device=device
            )
            gradient = gradient_norms(model, horizon, samples=samples, dtype=dtype, seed=seed, device=device)
            fits[name] = fit = decay(memory)
            lags = memory.lag.values
            law = np.full(lags.size, np.nan)
            if fit.confidence >= DECIDED and (fit.rate is not None or fit.exponent is not None):
                within = (lags >= fit.start) & (lags <= fit.stop)
                law[within] = fit(lags[within])
            columns = {
                "model": name,
                "parameters": memory.attrs["parameters"],
                "lag": lags,
                "memory": memory.values,
                "noise_floor": memory.attrs["noise_floor"],
                "law": law,
                "gradient": gradient["mean"].values,
            }
            curves.append(pd.DataFrame(columns))
            headline |= _headline(name, fit)
    return Findings(pd.concat(curves, ignore_index=True), _message(fits, precision), headline)


def _headline(name: str, fit: DecayFit) -> dict[str, float]:
    law: dict[str, float] = {}
    if fit.rate is not None:
        law = {f"{name}: rate of the exponential, per step": fit.rate}
    if fit.exponent is not None:
        law = {f"{name}: exponent of the power": fit.exponent}
    return law | {f"{name}: confidence in {fit.kind}": fit.confidence}


def _message(fits: Mapping[str, DecayFit], precision: str) -> str:
    def law(name: str) -> str:
        fit, words = fits[name], fits[name].kind
        if fit.rate is not None:
            words = f"exp(−{fit.rate:.2g} t)"
        if fit.exponent is not None:
            words = f"t^−{fit.exponent:.2g}"
        return f"{name} {words} (confidence {fit.confidence:.2f})"

    decided = [law(name) for name, fit in fits.items() if fit.confidence >= DECIDED]
    undecided = [name for name, fit in fits.items() if fit.confidence < DECIDED]
    rest = f" The horizon does not decide for {' and '.join(undecided)}." if undecided else ""
    return (
        f"Laws (lines) fitted to measured memories (marks; each a lower bound of the supremum over inputs): "
        f"{', '.join(decided)}; in {precision}, whose rounding is shaded.{rest} Theory is the dashed line, "
        f"what a plain average over the past remembers; that this is what attention does here is measured."
    )


def report(data: FigureData) -> pd.DataFrame:
    """Return the table that :func:`memory_report` makes of the memories in `data`: one row a model."""

    def memory(curve: pd.DataFrame) -> xr.DataArray:
        told = {name: curve[name].iloc[0].item() for name in ("noise_floor", "parameters")}
        return xr.DataArray(curve.memory, {"lag": curve.lag.to_numpy()}, ["lag"], "memory", told)

    return memory_report({name: memory(curve) for name, curve in groups(data.table, "model").items()})


def plot(data: FigureData) -> Figure:
    """Draw memories with their laws and the noise, and gradient norms, over the lag, scaled to start at 1."""
    curves = groups(data.table, "model")
    bottom = 1e-9 if data.parameters["precision"] == "float32" else 1e-18
    with plotting.style():
        figure, (memory, gradient) = plotting.canvas(2, width=10.4, height=4.3, sharey=True)
        for name, look in plotting.looks(curves).items():
            curve, some = curves[name], _marked(len(curves[name]))
            scale, first, lags = curve.memory.max(), curve.gradient.iloc[0], curve.lag.iloc[some]
            seen = curve.memory.iloc[some] / scale
            plotting.measured(memory, lags, seen.where(seen > 0), look, label=name, alpha=0.85)
            plotting.theory(memory, curve.lag, curve.law / scale, look.color)
            plotting.measured(gradient, lags, curve.gradient.iloc[some] / first, look)
            plotting.theory(gradient, curve.lag, curve.gradient / first, look.color, lw=0.8)
        every = np.arange(len(next(iter(curves.values()))))
        average = plotting.theory(memory, every, 1 / (1 + every), ls="--", lw=1.2)
        floor = max(curve.noise_floor.iloc[0] / curve.memory.max() for curve in curves.values())
        noise = memory.axhspan(bottom, floor, color=plotting.GRID, zorder=0)
        memory.set(
            yscale="log",
            ylim=(bottom, 2),
            xlabel="lag $t$ (steps)",
            ylabel="over its largest value",
            title=r"Memory $M(t)\,/\max M$, impulse probe",
        )
        gradient.set(
            xlabel="lag $s$ (steps)", title=r"Gradient $\|\partial y_T/\partial x_{T-s}\|$, relative"
        )
        handles, labels = memory.get_legend_handles_labels()
        handles += [plotting.entry("fitted law"), average, noise]
        labels += ["fitted law", r"$1/(1+t)$, an average", f"rounding of {data.parameters['precision']}"]
        figure.legend(handles, labels, loc="outside right upper")
    return figure


def _marked(count: int) -> np.ndarray:
    """Return the lags that are marked: each at first, where the fast curves are, and fewer later."""
    return np.unique(np.round(np.geomspace(1, count, 28)).astype(int)) - 1
