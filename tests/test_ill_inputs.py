"""One list of ill inputs for every public function: a right number, or one line that names the argument."""

import contextlib
import decimal
import re
import signal
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import curse_of_memory as com
from curse_of_memory.nn import forgetting
from curse_of_memory.theory import (
    approximation_rates,
    expiry,
    hankel,
    long_expressive,
    plateau,
    reparameterization,
    stability,
)
from curse_of_memory.theory.decay import decay_intervals, settling
from curse_of_memory.theory.exponential_sums.geometric_sums import geometric_exponential_sum
from curse_of_memory.theory.lemmas import (
    gru_linearization,
    heaviside_dynamics,
    layered_memory,
    lyapunov,
    rescaled_modes,
    resolvent,
)
from curse_of_memory.theory.plateau.gradient_flow import gradient_flow
from curse_of_memory.theory.targets import far_bump


class Opaque:
    """An object that is nothing to anybody."""


# What nobody can make sense of, by what is asked for.
NOT_A_NUMBER = {
    "None": None, "digits": "1", "a list": [1.0], "a dict": {}, "complex": 1j, "NaN": float("nan"),
    "True": True, "an object": Opaque(), "a tensor of two": torch.tensor([1.0, 2.0]), "400 digits": 10**400,
}  # fmt: skip
NOT_POSITIVE = NOT_A_NUMBER | {"zero": 0.0, "negative": -1.0, "infinite": float("inf")}
NOT_A_COUNT = NOT_POSITIVE | {
    "a fraction": 1.5,
    "Fraction": Fraction(3, 2),
    "Decimal": decimal.Decimal("1.5"),
}
NOT_A_SEED = {
    "None": None, "digits": "0", "a fraction": 1.5, "negative": -1, "True": True, "NaN": float("nan"),
    "an object": Opaque(), "400 digits": 10**400,
}  # fmt: skip
NOT_A_NAME = {
    "None": None, "a number": 1, "empty": "", "unknown": "no such name", "a list": ["l2"], "bytes": b"l2",
    "an object": Opaque(),
}  # fmt: skip
NOT_A_THING = {
    "None": None, "a name": "LSTM", "a number": 1, "a list": [1.0, 2.0], "an array": np.ones((2, 3, 1)),
    "a class": torch.nn.LSTM, "an object": Opaque(),
}  # fmt: skip
NOT_A_LIST = {
    "empty": [], "None": None, "digits": "1", "NaN": [float("nan")], "words": ["x"], "nested": [[0.1, 0.2]],
    "complex": 1j, "an object": Opaque(),
}  # fmt: skip
NOT_AN_ARRAY = {
    "None": None,
    "text": "1 2 3 4",
    "empty": [],
    "NaN": [1.0, float("nan"), 0.5, 0.2],
    "infinite": [1.0, 0.5, float("inf"), 0.2],
    "complex": [1.0, 0.5j, 0.2, 0.1],
    "ragged": [[1.0], [0.5, 0.2]],
    "objects": [Opaque()] * 4,
    "words": ["a", "b", "c", "d"],
    "masked": np.ma.masked_array([1.0, 0.5, 0.2, 0.1], [False, True, False, False]),
    "dates": np.array(["2020-01-01"] * 4, dtype="datetime64[D]"),
    "with gradients": torch.ones(4, requires_grad=True),
}
NOT_A_CURVE = NOT_AN_ARRAY | {
    "four dimensions": np.ones((2, 2, 2, 2)),
    "uneven lags": xr.DataArray(np.ones(4), {"lag": [0.0, 1.0, 3.0, 4.0]}, ["lag"]),
    "lags that start late": xr.DataArray(np.ones(4), {"lag": [1.0, 2.0, 3.0, 4.0]}, ["lag"]),
    "falling index": pd.Series(np.ones(4), [3.0, 2.0, 1.0, 0.0]),
    "repeated index": pd.Series(np.ones(4), [0.0, 1.0, 1.0, 2.0]),
}
NOT_A_MATRIX = {
    key: NOT_AN_ARRAY[key] for key in ("None", "text", "empty", "complex", "ragged", "objects")
} | {
    "NaN": [[float("nan")]],
    "infinite": [[float("inf")]],
    "not square": np.ones((2, 3)),
    "four dimensions": np.ones((2, 2, 2, 2)),
}

LISTS = {
    "number": NOT_A_NUMBER,
    "positive": NOT_POSITIVE,
    "count": NOT_A_COUNT,
    "seed": NOT_A_SEED,
    "name": NOT_A_NAME,
    "thing": NOT_A_THING,
    "list": NOT_A_LIST,
    "array": NOT_AN_ARRAY,
    "curve": NOT_A_CURVE,
    "matrix": NOT_A_MATRIX,
}

RHO = com.targets.polynomial(1.1, rate=0.1)
CURVE = np.asarray(RHO(np.arange(24.0)))
SUM, SUM2 = (com.fit_exponential_sum(CURVE, terms=m) for m in (1, 2))
TASK = com.tasks.LinearFunctional(RHO, 16)
EXACT = {"loss": com.losses.TemporallyWeightedMSE(2)}


def rnn(width: int = 2) -> torch.nn.Module:
    return com.nn.RNN(width, diagonal=True, parameterization="softplus", seed=0)


# public function -> (good arguments, argument -> what it asks for)
MEMORIES, MEMORIES_OF_ONE = (
    com.nn.CausalSelfAttention(2, forgetting=forgetting.Window(3)).start(rows) for rows in (2, 1)
)

FUNCTIONS = {
    "targets.exponential": (com.targets.exponential, {"rate": 1.0}, {"rate": "positive"}),
    "targets.polynomial": (
        com.targets.polynomial,
        {"exponent": 1.1, "rate": 1.0},
        {"exponent": "positive", "rate": "positive"},
    ),
    "targets.named": (com.targets.named, {"name": "iat-code-polynomial"}, {"name": "name"}),
    "targets.two_parts": (com.targets.two_parts, {"center": 9.0}, {"center": "number"}),
    "targets.airy": (com.targets.airy, {"shift": 6.0}, {"shift": "number"}),
    "targets.sine": (com.targets.sine, {"frequency": 1.0}, {"frequency": "positive"}),
    "Target.__call__": (RHO, {"t": 1.0}, {"t": "array"}),
    "Target.tail": (RHO.tail, {"t": 1.0}, {"t": "array"}),
    "Target.norm": (RHO.norm, {"order": 1}, {"order": "thing"}),
    "Target.on_grid": (
        RHO.on_grid,
        {"horizon": 4, "dt": 0.1},
        {"horizon": "count", "dt": "positive"},
    ),
    "bias.power": (com.bias.power, {"p": 2.0}, {"p": "number"}),
    "bias.exponential": (com.bias.exponential, {"rate": 0.1}, {"rate": "number"}),
    "Bias.discrete": (com.bias.power(2).discrete, {"horizon": 4}, {"horizon": "count"}),
    "effective_steps": (
        com.bias.effective_steps,
        {"weight": com.bias.power(2), "horizon": 4},
        {"horizon": "count"},
    ),
    "step_shares": (
        com.bias.step_shares,
        {"weight": com.bias.power(2), "lengths": [2, 3]},
        {"lengths": "list"},
    ),
    "Bias.head_tail_ratio": (com.bias.power(2).head_tail_ratio, {"horizon": 4}, {"horizon": "count"}),
    "bias.weighted_error": (
        com.bias.weighted_error,
        {"rho": CURVE, "rho_hat": 0.9 * CURVE, "b": com.bias.power(2)},
        {"rho": "curve", "rho_hat": "curve"},
    ),
    "fit_exponential_sum": (
        com.fit_exponential_sum,
        {"values": CURVE, "terms": 2},
        {"values": "curve", "terms": "count"},
    ),
    "weighted_lower_bound": (
        com.weighted_lower_bound,
        {"values": CURVE, "terms": 2},
        {"values": "curve", "terms": "count"},
    ),
    "states_needed": (
        com.states_needed,
        {"kernel": CURVE, "error": 0.1, "most": 1},
        {"kernel": "curve", "error": "positive", "modes": "name", "most": "count"},
    ),
    "SSM.from_exponential_sum": (
        com.nn.SSM.from_exponential_sum,
        {"rates": [1.0], "coefficients": [1.0]},
        {"rates": "array", "coefficients": "array", "parameterization": "name"},
    ),
    "hankel_singular_values": (com.hankel_singular_values, {"source": CURVE}, {"source": "curve"}),
    "balanced_truncation": (
        com.balanced_truncation,
        {"source": SUM2, "terms": 1},
        {"source": "thing", "terms": "count"},
    ),
    "power_tradeoff": (
        com.power_tradeoff,
        {"horizon": 24, "powers": [0.0, 1.0], "lags": [3, 5], "rho": CURVE, "terms": 1},
        {"horizon": "count", "powers": "list", "terms": "count"},
    ),
    "decay": (com.decay, {"memory": CURVE}, {"memory": "curve"}),
    "decay_intervals": (
        decay_intervals,
        {"memory": CURVE, "level": 0.9},
        {"memory": "curve", "level": "number"},
    ),
    "settling": (settling, {"memory": CURVE}, {"memory": "curve"}),
    "worst_case_error": (
        com.worst_case_error,
        {"fit": SUM, "rho": CURVE, "beta": 0.01, "parameterization": "softplus", "norm": "l2", "horizon": 24},
        {"fit": "thing", "rho": "curve", "beta": "number", "parameterization": "name", "norm": "name"},
    ),
    "worst_case_curve": (
        com.worst_case_curve,
        {"fit": SUM, "rho": RHO, "betas": [0.01], "parameterization": "softplus", "norm": "l2"},
        {"fit": "thing", "betas": "list", "parameterization": "name", "norm": "name"},
    ),
    "stability_radius": (
        com.stability_radius,
        {"fit": SUM, "parameterization": "direct"},
        {"fit": "array", "parameterization": "name"},
    ),
    "crossing": (
        stability.crossing,
        {"beta": [0.1, 0.2, 0.3], "narrow": [1.0, 1.0, 1.0], "wide": [0.5, 0.9, 2.0]},
        {"beta": "array", "narrow": "array", "wide": "array"},
    ),
    "plateau_time": (
        com.plateau_time,
        {"target": far_bump.far_bump(2.0), "terms": 1, "time_limit": 10.0},
        {"target": "thing", "terms": "count", "drop": "positive"},
    ),
    "growth_rate": (
        plateau.growth_rate,
        {"delays": [1.0, 2.0, 3.0], "times": [[1.0, 2.0, 5.0], [1.0, 3.0, 7.0]]},
        {"delays": "array"},
    ),
    "gradient_flow": (
        gradient_flow,
        {"target": RHO, "terms": 1, "horizon": 5.0, "time_limit": 1.0},
        {"target": "thing", "terms": "count", "seed": "seed", "horizon": "number", "time_limit": "positive"},
    ),
    "l1_norm": (approximation_rates.l1_norm, {"target": RHO}, {"target": "thing"}),
    "truncation_terms": (
        approximation_rates.truncation_terms,
        {"omega": 1.0, "error": 0.1},
        {"omega": "positive", "error": "positive"},
    ),
    "equispaced_error": (
        approximation_rates.equispaced_error,
        {"target": com.targets.exponential(0.3), "terms": 2, "rate": 1.0},
        {"target": "thing", "terms": "count", "rate": "positive"},
    ),
    "geometric_exponential_sum": (
        geometric_exponential_sum,
        {"target": com.targets.polynomial(1.5), "tolerance": 0.1},
        {"target": "thing", "tolerance": "positive"},
    ),
    "lyapunov_norm": (lyapunov.lyapunov_norm, {"W": -np.eye(2)}, {"W": "matrix"}),
    "distance_to_instability": (resolvent.distance_to_instability, {"W": -np.eye(2)}, {"W": "matrix"}),
    "numerical_abscissa": (resolvent.numerical_abscissa, {"W": -np.eye(2)}, {"W": "matrix"}),
    "spectral_abscissa": (resolvent.spectral_abscissa, {"W": -np.eye(2)}, {"W": "matrix"}),
    "contraction_region": (
        heaviside_dynamics.contraction_region,
        {"W": -np.eye(2), "level": 0.5},
        {"W": "matrix", "level": "positive"},
    ),
    "LayeredMemory": (layered_memory.LayeredMemory, {"rates": (1.0, 2.0)}, {"rates": "list"}),
    "appendix_c": (
        rescaled_modes.appendix_c,
        {"terms": 3, "power": 1, "model": "plain"},
        {"terms": "count", "model": "name"},
    ),
    "gru_linearization": (
        gru_linearization.gru_linearization,
        {"U_h": -np.eye(2), "b_r": np.zeros(2), "b_z": np.zeros(2)},
        {"U_h": "matrix"},
    ),
    "largest_state": (
        long_expressive.largest_state,
        {"steps": [1.0, 2.0], "dt": 0.1},
        {"steps": "array", "dt": "positive"},
    ),
    "allowed_growth": (
        long_expressive.allowed_growth,
        {"eta": 1.0, "dt": 0.1},
        {"eta": "number", "dt": "positive"},
    ),
    "jacobian_bounds": (
        long_expressive.jacobian_bounds,
        {"eta": 1.0, "dt": 0.1, "steps": 3},
        {"eta": "number", "dt": "positive", "steps": "count"},
    ),
    "frozen_gate_error": (
        long_expressive.frozen_gate_error,
        {"bias": 3.0, "eta": 1.0, "steps": 3},
        {"bias": "number", "eta": "number", "steps": "count"},
    ),
    "accumulated_error": (
        long_expressive.accumulated_error,
        {"step_error": 0.1, "lipschitz": 1.1, "steps": 3},
        {"step_error": "number", "lipschitz": "number", "steps": "count"},
    ),
    "time_constant": (
        long_expressive.time_constant,
        {"bias": [0.0, 1.0], "dt": 0.1},
        {"bias": "array", "dt": "positive"},
    ),
    "Flow": (
        long_expressive.Flow,
        {"W": np.zeros((4, 1)), "V": np.zeros((4, 1)), "b": np.zeros(4)},
        {"W": "array", "V": "array", "b": "array"},
    ),
    "Flow.end": (
        long_expressive.Flow(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4)).end,
        {"u": lambda t: [0.0], "slope": lambda t: [0.0], "duration": 1.0, "tolerance": 1e-6},
        {"u": "thing", "slope": "thing", "duration": "positive", "tolerance": "positive"},
    ),
    "mask": (
        expiry.mask,
        {"ages": [1, 2], "spans": 1.5, "ramp": 2},
        {"ages": "array", "spans": "array", "ramp": "count"},
    ),
    "life": (expiry.life, {"spans": [1.0], "ramp": 2}, {"spans": "array", "ramp": "count"}),
    "ramp_steps": (expiry.ramp_steps, {"spans": [1.0], "ramp": 2}, {"spans": "array", "ramp": "count"}),
    "serves_next_step": (
        expiry.serves_next_step,
        {"spans": [1.0], "ramp": 2},
        {"spans": "array", "ramp": "count"},
    ),
    "reach": (expiry.reach, {"spans": [1.0, 2.0], "ramp": 2}, {"spans": "list", "ramp": "count"}),
    "last_reached": (
        expiry.last_reached,
        {"spans": [[1.0, 2.0]], "ramp": 2},
        {"spans": "array", "ramp": "count"},
    ),
    "span_kernel": (
        expiry.span_kernel,
        {"span": 1.5, "ramp": 2, "horizon": 4},
        {"span": "number", "ramp": "count", "horizon": "count"},
    ),
    "LogitNormalSpans": (
        expiry.LogitNormalSpans,
        {"mean": 0.0, "std": 1.0, "max_span": 5.0},
        {"mean": "number", "std": "positive", "max_span": "positive"},
    ),
    "LogitNormalSpans.exceeds": (
        expiry.LogitNormalSpans(0.0, 1.0, 5.0).exceeds,
        {"spans": [1.0]},
        {"spans": "array"},
    ),
    "live_memories": (
        expiry.live_memories,
        {"exceeds": expiry.LogitNormalSpans(0.0, 1.0, 5.0).exceeds, "max_span": 5.0, "ramp": 2},
        {"exceeds": "thing", "max_span": "positive", "ramp": "count"},
    ),
    "LiveMemories.largest": (
        expiry.live_memories(expiry.LogitNormalSpans(0.0, 1.0, 5.0).exceeds, 5.0, 2).largest,
        {"batch": 2},
        {"batch": "count"},
    ),
    "charge": (
        expiry.charge,
        {"spans": [1.5], "ramp": 2, "alpha": 0.1, "block": 3},
        {"spans": "array", "ramp": "count", "alpha": "number", "block": "count"},
    ),
    "charge_gradient": (
        expiry.charge_gradient,
        {"spans": [1.5], "ramp": 2, "alpha": 0.1, "block": 3},
        {"spans": "array", "ramp": "count", "alpha": "number", "block": "count"},
    ),
    "shortened_mask": (
        expiry.shortened_mask,
        {"ages": [1, 2], "spans": 1.5, "ramp": 2, "max_span": 4.0, "sharp": False},
        {"ages": "array", "spans": "array", "ramp": "count", "max_span": "positive"},
    ),
    "shortened_span": (
        expiry.shortened_span,
        {"spans": [1.5], "max_span": 4.0},
        {"spans": "array", "max_span": "positive"},
    ),
    "shortened_gradient": (
        expiry.shortened_gradient,
        {"spans": [1.5], "max_span": 4.0},
        {"spans": "array", "max_span": "positive"},
    ),
    "ramp_factor": (expiry.ramp_factor, {"x": [1.0]}, {"x": "array"}),
    "exponential_span": (
        expiry.exponential_span,
        {"rate": 0.1, "alpha": 0.1, "ramp": 2.0, "variance": 1.0},
        {"rate": "positive", "alpha": "positive", "ramp": "number", "variance": "positive"},
    ),
    "sharp_span": (
        expiry.sharp_span,
        {"rho": RHO, "alpha": 0.1, "variance": 1.0, "b": com.bias.power(1), "horizon": 9.0},
        {"rho": "thing", "alpha": "positive", "variance": "positive", "b": "thing", "horizon": "positive"},
    ),
    "window_error": (
        expiry.window_error,
        {"rho": RHO, "window": 3.0, "variance": 1.0},
        {"rho": "thing", "window": "number", "variance": "number"},
    ),
    "span_loss": (
        expiry.span_loss,
        {"rho": CURVE, "ramp": 3, "variance": 1.0},
        {"rho": "curve", "ramp": "count", "variance": "number"},
    ),
    "SpanLoss.error": (expiry.span_loss(CURVE, 3).error, {"spans": [1.5]}, {"spans": "array"}),
    "SpanLoss.slope": (expiry.span_loss(CURVE, 3).slope, {"spans": [1.5]}, {"spans": "array"}),
    "SpanLoss.best": (expiry.span_loss(CURVE, 3).best, {"alpha": 0.1}, {"alpha": "number"}),
    "learnt_span": (
        expiry.learnt_span,
        {"loss": expiry.span_loss(CURVE, 3), "start": 1.0, "alpha": 0.1},
        {"loss": "thing", "start": "number", "alpha": "number"},
    ),
    "blind_span": (
        expiry.blind_span,
        {"uses": [1, 2], "start": 1.0, "ramp": 2},
        {"uses": "array", "start": "number", "ramp": "count"},
    ),
    "safe_step": (expiry.safe_step, {"loss": expiry.span_loss(CURVE, 3)}, {"loss": "thing"}),
    "kind_spans": (
        expiry.kind_spans,
        {"losses": [expiry.span_loss(CURVE, 3)], "shares": [1.0], "alpha": 0.1},
        {"losses": "thing", "shares": "list", "alpha": "number"},
    ),
    "exponential_kinds": (
        expiry.exponential_kinds,
        {"times": [5.0], "shares": [1.0], "alpha": 0.1, "variance": 1.0},
        {"times": "list", "shares": "list", "alpha": "positive", "variance": "positive"},
    ),
    "largest_saving": (
        expiry.largest_saving,
        {"times": [5.0], "shares": [1.0]},
        {"times": "list", "shares": "list"},
    ),
    "evict": (
        expiry.evict,
        {"weights": [0.5, 0.5], "values": [[1.0], [2.0]], "kept": [True, False]},
        {"weights": "array", "values": "array", "kept": "array"},
    ),
    "dropped_mass": (expiry.dropped_mass, {"dropped": 2, "gaps": [0.5]}, {"gaps": "array"}),
    "window_mass": (
        expiry.window_mass,
        {"memories": 4, "window": 2, "score_range": 1.0},
        {"memories": "count", "window": "count", "score_range": "number"},
    ),
    "sink_mass": (
        expiry.sink_mass,
        {"memories": 9, "sinks": 1, "window": 2, "score_range": 1.0, "sink_gap": 2.0},
        {
            "memories": "count",
            "sinks": "count",
            "window": "count",
            "score_range": "number",
            "sink_gap": "number",
        },
    ),
    "heavy_hitter_mass": (
        expiry.heavy_hitter_mass,
        {"memories": 4, "kept": 2, "drift": 0.1},
        {"memories": "count", "kept": "count", "drift": "number"},
    ),
    "gate_threshold_mass": (
        expiry.gate_threshold_mass,
        {"dropped": 4, "log_threshold": -3.0, "kept_log_gates": [0.0], "score_range": 1.0},
        {"log_threshold": "number", "kept_log_gates": "array", "score_range": "number"},
    ),
    "reparameterization.best": (
        reparameterization.best,
        {"a": 1.0, "b": 0.5},
        {"a": "positive", "b": "positive"},
    ),
    "reparameterization.get": (
        reparameterization.get,
        {"parameterization": "exp"},
        {"parameterization": "name"},
    ),
    "Reparameterization.g": (com.reparameterizations["best"].g, {"beta": 0.1}, {"beta": "number"}),
    "LinearFunctional": (
        com.tasks.LinearFunctional,
        {"rho": CURVE, "horizon": 24},
        {"rho": "curve", "horizon": "count"},
    ),
    "LinearFunctional.sample": (TASK.sample, {"size": 2, "seed": 0}, {"size": "count"}),
    "Adding": (com.tasks.Adding, {"horizon": 4}, {"horizon": "count"}),
    "FitzHughNagumo": (
        com.tasks.FitzHughNagumo,
        {"horizon": 4, "epsilon": 0.1, "dt": 0.4},
        {"horizon": "count", "epsilon": "positive", "dt": "positive"},
    ),
    "Copying": (
        com.tasks.Copying,
        {"memory_length": 2, "blank": 3},
        {"memory_length": "count", "blank": "count"},
    ),
    "AttentionApproximation": (
        com.tasks.AttentionApproximation,
        {"channels": 2, "horizon": 4, "seed": 0},
        {"channels": "count", "horizon": "count", "seed": "seed"},
    ),
    "Lorenz96": (com.tasks.Lorenz96, {"horizon": 4}, {"horizon": "count"}),
    "Pointwise": (
        com.tasks.Pointwise,
        {"function": torch.sin, "horizon": 4},
        {"function": "thing", "horizon": "count"},
    ),
    "TeacherFilter": (
        com.tasks.TeacherFilter,
        {"model": rnn(), "horizon": 4},
        {"model": "thing", "horizon": "count"},
    ),
    "VolterraFunctional": (
        com.tasks.VolterraFunctional,
        {"horizon": 24, "first": CURVE},
        {"horizon": "count", "first": "curve"},
    ),
    "random_rnn": (com.tasks.random_rnn, {"width": 2, "seed": 0}, {"width": "count", "seed": "seed"}),
    "nn.RNN": (
        com.nn.RNN,
        {"width": 2, "dt": 1.0},
        {"width": "count", "dt": "positive", "activation": "name"},
    ),
    "nn.SSM": (
        com.nn.SSM,
        {"width": 2},
        {"width": "count", "activation": "name", "parameterization": "name"},
    ),
    "nn.S4D": (com.nn.S4D, {"width": 2, "states": 2}, {"width": "count", "states": "count"}),
    "nn.TCN": (com.nn.TCN, {"widths": [2], "kernel_size": 2}, {"widths": "list", "kernel_size": "count"}),
    "nn.CausalTransformer": (com.nn.CausalTransformer, {"width": 2}, {"width": "count", "layers": "count"}),
    "nn.CausalSelfAttention": (
        com.nn.CausalSelfAttention,
        {"width": 2, "forgetting": forgetting.Window(3)},
        {"width": "count", "heads": "count", "block": "count", "kept": "name", "forgetting": "thing"},
    ),
    "forgetting.Window": (forgetting.Window, {"window": 3}, {"window": "count"}),
    "forgetting.Sinks": (forgetting.Sinks, {"sinks": 1, "window": 3}, {"sinks": "count", "window": "count"}),
    "forgetting.Compressive": (
        forgetting.Compressive,
        {"window": 3},
        {"window": "count", "rate": "count", "compressed": "count"},
    ),
    "forgetting.ForgetGate": (
        forgetting.ForgetGate,
        {"threshold": 0.1},
        {"threshold": "number", "slowest": "positive"},
    ),
    "forgetting.AdaptiveSpan": (
        forgetting.AdaptiveSpan,
        {"max_span": 9, "ramp": 2},
        {"max_span": "count", "ramp": "count", "initial_share": "positive", "price": "number"},
    ),
    "forgetting.ExpireSpan": (
        forgetting.ExpireSpan,
        {"max_span": 9, "ramp": 2},
        {
            "max_span": "count",
            "ramp": "count",
            "initial_share": "positive",
            "price": "number",
            "pre_divide": "positive",
        },
    ),
    "forgetting.choose_rows": (
        forgetting.choose_rows,
        {"state": MEMORIES, "rows": [1, 0]},
        {"state": "thing", "rows": "thing"},
    ),
    "forgetting.replace_rows": (
        forgetting.replace_rows,
        {"state": MEMORIES, "rows": [1], "fresh": MEMORIES_OF_ONE},
        {"state": "thing", "rows": "thing", "fresh": "thing"},
    ),
    "forgetting.frozen_at": (
        lambda model, reference: forgetting.frozen_at(model, reference).__enter__(),
        {
            "model": com.nn.CausalSelfAttention(2, forgetting=forgetting.Window(3)),
            "reference": torch.zeros(1, 3, 2),
        },
        {"model": "thing", "reference": "thing"},
    ),
    "nn.LSTM": (
        com.nn.LSTM,
        {"width": 2, "chrono": 9.0},
        {"width": "count", "layers": "count", "input_size": "count", "chrono": "positive"},
    ),
    "nn.GRU": (com.nn.GRU, {"width": 2}, {"width": "count", "layers": "count"}),
    "nn.LEM": (
        com.nn.LEM,
        {"width": 2, "dt": 0.5},
        {"width": "count", "layers": "count", "dt": "positive", "learn_dt": "name", "pooling": "name"},
    ),
    "nn.ElmanRNN": (com.nn.ElmanRNN, {"width": 2}, {"width": "count", "layers": "count"}),
    "nn.SequenceStack": (
        com.nn.SequenceStack,
        {"mixing": com.nn.S4D, "width": 2},
        {"mixing": "thing", "width": "count", "layers": "count", "pooling": "name"},
    ),
    "TemporallyWeightedMSE": (
        com.losses.TemporallyWeightedMSE,
        {"power": 2.0},
        {"power": "number", "reduction": "name", "form": "name"},
    ),
    "TemporallyWeightedMAE": (
        com.losses.TemporallyWeightedMAE,
        {"power": 2.0},
        {"power": "number", "reduction": "name"},
    ),
    "TemporallyWeightedCrossEntropy": (
        com.losses.TemporallyWeightedCrossEntropy,
        {"power": 2.0},
        {"power": "number", "reduction": "name", "form": "name"},
    ),
    "memory_function": (
        com.memory_function,
        {"model": rnn(), "horizon": 4, "probe": "impulse"},
        {"model": "thing", "horizon": "count", "probe": "name", "radii": "list"},
    ),
    "memory_report": (
        com.memory_report,
        {"models": {"a": rnn()}, "horizon": 4, "level": 0.9},
        {"models": "thing", "horizon": "count", "level": "number"},
    ),
    "gradient_norms": (
        com.gradient_norms,
        {"model": rnn(), "horizon": 4, "samples": 2},
        {"model": "thing", "horizon": "count", "samples": "count", "norm": "name"},
    ),
    "memory_used": (
        com.measure.memory_used,
        {"model": rnn(), "horizon": 4, "samples": 2, "dt": 1.0},
        {"model": "thing", "horizon": "count", "samples": "count"},
    ),
    "linearised_rate": (
        com.measure.linearised_rate,
        {"model": rnn(), "inputs": [0.0, 1.0]},
        {"model": "thing", "inputs": "list"},
    ),
    "perturbation_curve": (
        com.perturbation_curve,
        {"model": rnn(), "task": TASK, "betas": [0.1], "draws": 2, "ball": "spectral"},
        {
            "model": "thing",
            "task": "thing",
            "betas": "list",
            "draws": "count",
            "ball": "name",
            "seed": "seed",
        },
    ),
    "stability_margin": (
        com.stability_margin,
        {"model": rnn(), "task": TASK, "draws": 2, "factor": 2.0, "ball": "spectral"},
        {"model": "thing", "task": "thing", "draws": "count", "factor": "positive", "ball": "name"},
    ),
    "fit": (
        com.fit,
        {
            "model": rnn(),
            "task": TASK,
            "steps": 1,
            "batch_size": 2,
            "validation_size": 2,
            "learning_rate": 0.01,
        },
        {
            "model": "thing",
            "task": "thing",
            "steps": "count",
            "batch_size": "count",
            "schedule": "name",
            "validation_size": "count",
            "evaluation_size": "count",
            "validate_every": "count",
            "checkpoint_every": "count",
            "metric": "name",
            "learning_rate": "positive",
            "seed": "seed",
        },
    ),
    "fit_expected": (
        com.fit_expected,
        {"model": rnn(), "task": TASK, "descent": 1, "evaluations": 1, **EXACT},
        {"model": "thing", "task": "thing"},
    ),
    "sweep": (
        com.sweep,
        {"models": [rnn()], "task": TASK, "steps": 1, "batch_size": 2, **EXACT},
        {"models": "thing", "task": "thing", "steps": "count", "batch_size": "count"},
    ),
    "targets.exponential_sum": (
        com.targets.exponential_sum,
        {"coefficients": [1.0], "rates": [1.0]},
        {"coefficients": "array", "rates": "array"},
    ),
    "targets.from_callable": (com.targets.from_callable, {"func": np.exp}, {"func": "thing"}),
    "targets.from_formula": (com.targets.from_formula, {"expr": "exp(-t)"}, {"expr": "thing"}),
    "targets.shift": (
        com.targets.shift,
        {"start": 1.0, "stop": 2.0},
        {"start": "number", "stop": "number"},
    ),
    "bias.from_callable": (com.bias.from_callable, {"func": np.sqrt}, {"func": "thing"}),
    "bias.from_formula": (com.bias.from_formula, {"expr": "t"}, {"expr": "thing"}),
    "ExponentialSum": (
        com.exponential_sums.ExponentialSum,
        {"rates": [1.0], "coefficients": [1.0]},
        {"rates": "array", "coefficients": "array"},
    ),
    "fit_exponential_sums": (
        com.exponential_sums.fit_exponential_sums,
        {"values": CURVE, "terms": 2},
        {"values": "curve", "terms": "count", "modes": "name"},
    ),
    "bound_of_filters": (
        hankel.bound_of_filters,
        {"values": CURVE, "terms": 1, "left": np.eye(12), "right": np.eye(13)},
        {"values": "curve", "terms": "count", "left": "array", "right": "array"},
    ),
    "limit_curve": (
        stability.limit_curve,
        {"family": [SUM, SUM2], "rho": CURVE, "betas": [0.01], "horizon": 24},
        {"family": "thing", "rho": "curve", "betas": "list", "parameterization": "name", "norm": "name"},
    ),
    "best_spacing": (
        approximation_rates.best_spacing,
        {"target": com.targets.exponential(0.3), "terms": 2},
        {"target": "thing", "terms": "count"},
    ),
    "envelope": (
        lyapunov.envelope,
        {"W": -np.eye(2), "times": [0.0, 1.0]},
        {"W": "matrix", "times": "array"},
    ),
    "Shear": (lyapunov.Shear, {"a": 1.0, "rate": 1.0}, {"a": "number", "rate": "positive"}),
    "is_normal": (resolvent.is_normal, {"W": -np.eye(2)}, {"W": "matrix"}),
    "corner_rates": (
        heaviside_dynamics.corner_rates,
        {"W": -np.eye(4), "corner": [1, 1, 1, 1]},
        {"W": "matrix", "corner": "array"},
    ),
    "simulate": (
        heaviside_dynamics.simulate,
        {"W": -np.eye(4), "drive": np.ones(4), "times": [0.0, 1.0]},
        {"W": "matrix", "drive": "array", "times": "array"},
    ),
    "velocity_field": (
        heaviside_dynamics.velocity_field,
        {"W": -np.eye(4), "v": np.zeros(4)},
        {"W": "matrix", "v": "array"},
    ),
    "RescaledModes": (
        rescaled_modes.RescaledModes,
        {"coefficients": np.ones(2), "rates": np.ones(2), "scales": np.ones(2)},
        {"coefficients": "array", "rates": "array", "scales": "array"},
    ),
    "available": (com.tasks.available, {"name": "mnist"}, {"name": "name"}),
    "SequentialImages": (
        com.tasks.SequentialImages,
        {"name": "mnist", "data": "stand-in"},
        {"name": "name", "split": "name", "data": "name", "size": "count"},
    ),
    "UnitImages": (
        com.tasks.UnitImages,
        {"split": "test", "data": "stand-in"},
        {"split": "name", "averaged": "count", "data": "name", "size": "count", "seed": "seed"},
    ),
    "EigenWorms": (
        com.tasks.EigenWorms,
        {"data": "stand-in"},
        {"division": "name", "horizon": "count", "data": "name"},
    ),
    "HeartRate": (
        com.tasks.HeartRate,
        {"data": "stand-in"},
        {
            "division": "name",
            "samples": "count",
            "averaged": "count",
            "patients_seed": "seed",
            "data": "name",
        },
    ),
    "NoisyImages": (
        com.tasks.NoisyImages,
        {"split": "test", "data": "stand-in"},
        {
            "split": "name",
            "noise": "name",
            "horizon": "count",
            "data": "name",
            "size": "count",
            "seed": "seed",
        },
    ),
    "Keywords": (
        com.tasks.Keywords,
        {"split": "speakers", "clips_per_class": 4, "data": "stand-in"},
        {"split": "name", "clips_per_class": "count", "split_seed": "seed", "data": "name"},
    ),
    "Characters": (
        com.tasks.Characters,
        {"text": "enwik8", "data": "stand-in"},
        {"text": "name", "split": "name", "data": "name", "size": "count"},
    ),
    "MarkedSymbols": (
        com.tasks.MarkedSymbols,
        {"length": 4, "marked": 1, "symbols": 2},
        {"length": "count", "marked": "count", "symbols": "count"},
    ),
    "rouge": (
        com.measure.rouge,
        {"summaries": ["ab"], "references": ["a"]},
        {"summaries": "list", "references": "list", "repeats": "name"},
    ),
    "Summaries": (
        com.tasks.Summaries,
        {"data": "stand-in"},
        {
            "split": "name",
            "abstract_length": "count",
            "title_length": "count",
            "size": "count",
            "data": "name",
        },
    ),
    "PennTreebank": (
        com.tasks.PennTreebank,
        {"level": "words", "data": "stand-in"},
        {"level": "name", "split": "name", "data": "name", "size": "count", "vocabulary": "count"},
    ),
    "WikiText2": (
        com.tasks.WikiText2,
        {"split": "train", "data": "stand-in"},
        {"split": "name", "sequence_length": "count", "data": "name"},
    ),
    "random_transformer": (
        com.tasks.random_transformer,
        {"width": 2, "heads": 1, "feedforward": 2, "seed": 0},
        {"width": "count", "heads": "count", "feedforward": "count", "seed": "seed"},
    ),
    "ExpectedLoss": (
        com.training.ExpectedLoss,
        {"model": rnn(), "task": TASK},
        {"model": "thing", "task": "thing"},
    ),
    "SequenceMap": (
        com.measure.SequenceMap,
        {"model": rnn()},
        {"model": "thing", "input_size": "count", "token": "seed"},
    ),
    "fit_stream": (
        com.training.fit_stream,
        {
            "model": com.nn.CausalTransformer(4, 1, heads=1, vocabulary=3, seed=0),
            "text": torch.arange(40) % 3,
            "validation": torch.arange(9) % 3,
            "steps": 1,
            "rows": 2,
            "chunk": 4,
        },
        {
            "model": "thing",
            "text": "thing",
            "validation": "thing",
            "metric": "name",
            "steps": "count",
            "rows": "count",
            "chunk": "count",
            "schedule": "name",
            "validate_every": "count",
            "validation_rows": "count",
            "learning_rate": "positive",
            "seed": "seed",
        },
    ),
    "evaluate_stream": (
        com.training.evaluate_stream,
        {
            "model": com.nn.CausalTransformer(4, 1, heads=1, vocabulary=3, seed=0),
            "text": torch.arange(9) % 3,
        },
        {"model": "thing", "text": "thing", "rows": "count", "chunk": "count"},
    ),
    "text_losses": (
        com.training.text_losses,
        {
            "model": com.nn.CausalTransformer(4, 1, heads=1, vocabulary=3, seed=0),
            "text": torch.arange(9) % 3,
        },
        {"model": "thing", "text": "thing", "rows": "count", "chunk": "count"},
    ),
    "run_all": (
        com.training.run_all,
        {"function": abs, "arguments": []},
        {"function": "thing", "arguments": "thing"},
    ),
}
# what one of them can make sense of
ADMITTED = {
    ("targets.from_formula", "expr"): ("a number",),  # a constant
    ("bias.from_formula", "expr"): ("a number",),
    ("SequenceMap", "input_size"): ("None",),  # the model's own
    ("PennTreebank", "size"): ("None",),  # all tokens
    ("Characters", "size"): ("None",),  # all tokens
    **{
        ("Summaries", name): ("None",) for name in ("abstract_length", "title_length", "size")
    },  # all there is
    ("PennTreebank", "vocabulary"): ("None",),  # all words
    **{("rouge", name): ("words",) for name in ("summaries", "references")},  # which is what it takes
    ("EigenWorms", "horizon"): ("None",),  # all steps
    ("Keywords", "clips_per_class"): ("None",),  # all clips
    **{
        (task, "size"): ("None",) for task in ("SequentialImages", "UnitImages", "NoisyImages")
    },  # all there are
    ("Target.norm", "order"): ("a number",),
    ("nn.LSTM", "chrono"): ("None",),  # torch's own biases
    ("nn.CausalSelfAttention", "block"): ("None",),  # what suits the law
    ("nn.CausalSelfAttention", "forgetting"): ("None",),  # without one it forgets nothing
    ("nn.SequenceStack", "mixing"): ("a class",),  # what a factory raises is its own
    ("stability_margin", "factor"): ("infinite",),  # up to where the error overflows
    ("run_all", "function"): ("a class",),
    ("reach", "spans"): ("nested",),  # a layer may have many spans
    ("sharp_span", "b"): ("None",),
    ("sharp_span", "horizon"): ("None",),
    **{
        ("fit", name): ("None",)
        for name in ("steps", "evaluation_size", "validate_every", "checkpoint_every")
    },
}
CASES = [
    pytest.param(name, argument, kind, id=f"{name}-{argument}")
    for name, (_, _, asked) in FUNCTIONS.items()
    for argument, kind in asked.items()
]


@contextlib.contextmanager
def at_most(seconds: float):
    """End what runs within after so many seconds of its own processor time: a refusal is early."""

    def end(_signal, _frame):
        raise TimeoutError(f"not refused within {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def complaint(name: str, argument: str, value: object) -> str | None:
    """Return what is wrong with the answer of a function to an ill input, or None if it refuses it well."""
    function, good, _ = FUNCTIONS[name]
    with warnings.catch_warnings(), at_most(seconds=5):
        warnings.simplefilter("error")
        try:
            answer = function(**(good | {argument: value}))
        except (TypeError, ValueError, ArithmeticError) as error:
            message = str(error)
            if "\n" in message.strip():
                return f"a message of several lines: {message[:100]!r}"
            return None if argument in message else f"{type(error).__name__}, not named: {message[:160]!r}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:120]!r}"
    return f"accepted: {str(answer)[:80]!r}"


@pytest.mark.parametrize(("name", "argument", "kind"), CASES)
def test_an_ill_input_is_refused_in_one_line_that_names_the_argument(name, argument, kind):
    admitted = ADMITTED.get((name, argument), ())
    wrong = {
        key: complaint(name, argument, value) for key, value in LISTS[kind].items() if key not in admitted
    }
    assert {key: text for key, text in wrong.items() if text} == {}


# results, which functions make, and what other lists hold
MADE = {
    "BalancedTruncation", "Batch", "Bias", "ContractionRegion", "Decay", "DecayFit", "Distance",
    "EquispacedError", "ExponentialFit", "BestSpan", "EvictionCertificate", "KindSpans", "LiveMemories",
    "SpanLoss", "FitResult", "StreamEvaluation", "FlowEnd", "GeometricSum", "GrowthRate", "JacobianBounds",
    "LowerBound", "LyapunovNorm", "MemoryReport", "PerturbationCurve",
    "Law", "ages_at_queries",  # what laws of one's own are made of
    "Plateau", "Registry", "Reparameterization", "StabilityMargin", "Target", "WorstCase",
}  # fmt: skip


def test_every_public_function_is_asked():
    modules = [
        com.targets,
        com.bias,
        com.exponential_sums,
        com.losses,
        com.nn,
        com.tasks,
        com.training,
        com.measure,
    ]
    modules += [approximation_rates, expiry, hankel, long_expressive, plateau, reparameterization, stability]
    modules += [forgetting, heaviside_dynamics, lyapunov, resolvent, rescaled_modes, gru_linearization]
    modules += [layered_memory]
    public = {name for module in modules for name in module.__all__ if callable(getattr(module, name))}
    asked = {name.rpartition(".")[2] for name in FUNCTIONS} | set(LAYERS)
    assert public - MADE - asked == set()


LAYERS = {
    "RNN": lambda: com.nn.RNN(2, seed=0),
    "SSM": lambda: com.nn.SSM(2, seed=0),
    "S4D": lambda: com.nn.S4D(1, 2, seed=0),
    "TCN": lambda: com.nn.TCN([2], seed=0),
    "LSTM": lambda: com.nn.LSTM(2, seed=0),
    "LEM": lambda: com.nn.LEM(2, seed=0),
    "CausalTransformer": lambda: com.nn.CausalTransformer(2, seed=0),
    "CausalSelfAttention": lambda: com.nn.CausalSelfAttention(1, seed=0),
    "CausalSelfAttention, Window": lambda: com.nn.CausalSelfAttention(1, forgetting=forgetting.Window(3)),
    "CausalTransformer, ExpireSpan": lambda: com.nn.CausalTransformer(
        2, forgetting=forgetting.ExpireSpan(9, 2), seed=0
    ),
    "CausalConvolution": lambda: com.nn.CausalConvolution(1, 1, 2, seed=0),
    "SequenceStack": lambda: com.nn.SequenceStack(com.nn.S4D, 2, seed=0),
}
NOT_SEQUENCES = {
    "None": None, "a list": [[[1.0]]], "an array": np.ones((2, 3, 1)), "two dimensions": torch.ones(2, 3),
    "two channels": torch.ones(2, 3, 2), "whole": torch.ones(2, 3, 1).long(),
    "complex": torch.ones(2, 3, 1, dtype=torch.complex64), "text": "x",
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_refuses_in_one_line_what_is_no_batch_of_sequences(name):
    layer, wrong = LAYERS[name](), {}
    for key, value in NOT_SEQUENCES.items():
        try:
            wrong[key] = f"accepted, {tuple(layer(value).shape)}"
        except (TypeError, ValueError) as error:
            message = str(error)
            wrong[key] = "" if "\n" not in message and re.search(r"\bx\b|inputs?", message) else message[:100]
        except Exception as error:
            wrong[key] = f"{type(error).__name__}: {str(error)[:100]!r}"
    assert {key: text for key, text in wrong.items() if text} == {}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_good_arguments_are_good(name):
    function, good, _ = FUNCTIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(**good)
