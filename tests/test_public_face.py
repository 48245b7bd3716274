"""The names that users rely on, their documentation, and what importing them costs."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from typing import is_typeddict

import pytest

import curse_of_memory as com

# Frozen: removing or renaming one of these breaks other people's code and must be meant.
PUBLIC = {
    "": {
        "SequenceMap", "add_expire_span", "balanced_truncation", "bias", "decay", "eviction",
        "exponential_sums", "fit", "fit_expected", "fit_exponential_sum", "gradient_norms",
        "hankel_singular_values", "load_expire_span", "losses", "measure", "memory_function",
        "memory_report", "nn", "papers", "perturbation_curve", "plateau_time", "power_tradeoff",
        "reparameterizations", "stability_margin", "stability_radius", "states_needed", "sweep", "targets",
        "tasks", "training", "weighted_lower_bound", "worst_case_curve", "worst_case_error",
    },
    "theory.targets": {
        "NAMED", "Decay", "Target", "airy", "exponential", "exponential_sum", "from_callable", "from_formula",
        "named", "polynomial", "shift", "sine", "two_parts",
    },
    "theory.bias": {
        "INPUTS", "Bias", "exponential", "from_callable", "from_formula", "power", "weighted_error",
    },
    "theory.exponential_sums": {"ExponentialFit", "ExponentialSum", "fit_exponential_sum"},
    "theory.hankel": {
        "BalancedTruncation", "LowerBound", "balanced_truncation", "hankel_singular_values",
        "weighted_lower_bound",
    },
    "theory.states_needed": {"StatesNeeded", "states_needed"},
    "theory.stability": {
        "WorstCase", "crossing", "limit_curve", "stability_radius", "worst_case_curve", "worst_case_error",
    },
    "theory.decay": {"DecayFit", "DecayIntervals", "Settling", "decay", "decay_intervals", "settling"},
    "theory.plateau": {"GrowthRate", "Plateau", "growth_rate", "plateau_time"},
    "theory.plateau.gradient_flow": {"gradient_flow"},
    "theory.approximation_rates": {
        "EquispacedError", "best_spacing", "equispaced_error", "l1_norm", "truncation_terms",
    },
    "theory.exponential_sums.geometric_sums": {"GeometricSum", "geometric_exponential_sum"},
    "theory.lemmas.lyapunov": {"LyapunovNorm", "Shear", "envelope", "lyapunov_norm"},
    "theory.lemmas.resolvent": {
        "Distance", "distance_to_instability", "numerical_abscissa", "spectral_abscissa",
    },
    "theory.lemmas.layered_memory": {"LayeredMemory"},
    "theory.lemmas.heaviside_dynamics": {
        "ContractionRegion", "contraction_region", "simulate", "velocity_field",
    },
    "theory.lemmas.rescaled_modes": {"RescaledModes", "appendix_c"},
    "theory.lemmas.gru_linearization": {"gru_linearization"},
    "theory.long_expressive": {
        "Flow", "FlowEnd", "JacobianBounds", "accumulated_error", "allowed_growth", "frozen_gate_error",
        "jacobian_bounds", "largest_state", "time_constant",
    },
    "theory.expiry": {
        "BestSpan", "EvictionCertificate", "KindSpans", "LiveMemories", "LogitNormalSpans", "SpanLoss",
        "blind_span", "charge", "charge_gradient", "dropped_mass", "evict", "exponential_kinds",
        "exponential_span", "gate_threshold_mass", "heavy_hitter_mass", "kind_spans", "largest_saving",
        "last_reached", "learnt_span", "life", "live_memories", "mask", "ramp_factor", "ramp_steps", "reach",
        "safe_step", "serves_next_step", "sharp_span", "sink_mass", "span_kernel", "span_loss",
        "window_error", "window_mass",
    },
    "theory.reparameterization": {
        "REPARAMETERIZATIONS", "Registry", "Reparameterization", "best", "get",
    },
    "losses": {"TemporallyWeightedCrossEntropy", "TemporallyWeightedMAE", "TemporallyWeightedMSE"},
    "nn": {
        "CausalConvolution", "CausalSelfAttention", "CausalTransformer", "ElmanRNN", "GRU", "LEM", "LSTM",
        "RNN", "S4D", "SSM", "SequenceStack", "TCN",
    },
    "nn.seats.expire_span": {"add_expire_span", "load_expire_span"},
    "nn.seats.eviction": {"HeavyHitters", "Rule", "Sinks", "Window", "apply", "certify", "compare"},
    "nn.seats.seat": {"Seat"},
    "tasks": {
        "Adding", "AttentionApproximation", "Batch", "Copying", "EigenWorms", "FitzHughNagumo", "HeartRate",
        "LinearFunctional", "Lorenz96", "NoisyImages", "PennTreebank", "Pointwise", "SequentialImages",
        "Summaries", "TeacherFilter", "UnitImages", "VolterraFunctional", "WikiText2", "available",
        "random_rnn", "random_transformer",
    },
    "tasks.vocabularies": {
        "CharacterVocabulary", "FolderVocabulary", "JiebaVocabulary", "Vocabulary", "load_vocabulary",
    },
    "training": {
        "ExpectedLoss", "FitResult", "StreamEvaluation", "evaluate_stream", "fit", "fit_expected",
        "fit_stream", "run_all", "sweep", "text_losses",
    },
    "measure": {
        "MemoryReport", "PerturbationCurve", "SequenceMap", "StabilityMargin", "gradient_norms",
        "linearised_rate", "memory_function", "memory_report", "memory_used", "perturbation_curve",
        "stability_margin",
    },
    "protocols": {
        "LinearError", "LinearLoss", "LinearMemory", "LinearTask", "ManyModels", "Modal", "Outputs",
        "PricedOutputs", "Remembering", "SequenceLayer", "Stackable", "Task", "can_run_chunks",
        "has_linear_memory", "remembers",
    },
}  # fmt: skip


def module(name: str):
    return importlib.import_module(f"curse_of_memory.{name}".rstrip("."))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_there(name):
    assert set(module(name).__all__) >= PUBLIC[name]
    for public in PUBLIC[name]:
        assert hasattr(module(name), public)


def documented():
    for name in PUBLIC:
        if name:
            for public in sorted(PUBLIC[name]):
                thing = getattr(module(name), public)
                if (inspect.isclass(thing) and not is_typeddict(thing)) or inspect.isfunction(thing):
                    yield pytest.param(thing, id=f"{name}.{public}")


@pytest.mark.parametrize("thing", list(documented()))
def test_docstring_names_every_argument(thing):
    text = inspect.getdoc(thing)
    assert text, f"{thing.__name__} has no docstring"
    arguments = set(inspect.signature(thing).parameters) - {"self", "args", "kwargs"}
    assert {a for a in arguments if not re.search(rf"\b{a}\b", text)} == set()


def test_editors_see_the_names_that_are_loaded_lazily():
    """The block that type checkers read imports each name of the table from where the table says."""
    tree = ast.parse(inspect.getsource(com))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        assert line.module is not None
        for alias in line.names:
            package = importlib.import_module(line.module)
            is_module = not hasattr(package, alias.name) or inspect.ismodule(getattr(package, alias.name))
            seen[alias.asname] = f"{line.module}{'.' if is_module else ':'}{alias.name}"
    assert seen == com._HOMES


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'biass'"):
        _ = com.biass  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("com.targets.polynomial(1.1).norm(1); com.bias.power(2).discrete(64)", "torch"),
        ("com.fit_exponential_sum([0.5**s for s in range(20)], terms=1)", "torch"),
        ("com.reparameterizations['best'].g(0.1)", "torch"),
        ("import curse_of_memory.cli", "torch"),
        ("com.__version__", "sympy"),
    ],
)
def test_nobody_waits_for_what_they_do_not_use(statement, unwanted):
    code = f"import sys, curse_of_memory as com; {statement}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
