"""How long does a sequence model remember, can it learn to, and can we prove it?

>>> import curse_of_memory as com
>>> com.targets.polynomial(exponent=1.1, rate=0.1).norm(1)
100.0

Names are loaded when they are first used, so that theory alone does not wait for torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "bias": "curse_of_memory.theory.bias",
    "exponential_sums": "curse_of_memory.theory.exponential_sums",
    "reparameterizations": "curse_of_memory.theory.reparameterization:REPARAMETERIZATIONS",
    "targets": "curse_of_memory.theory.targets",
    "losses": "curse_of_memory.losses",
    "nn": "curse_of_memory.nn",
    "tasks": "curse_of_memory.tasks",
    "training": "curse_of_memory.training",
    "measure": "curse_of_memory.measure",
    "papers": "curse_of_memory.papers",
    "decay": "curse_of_memory.theory.decay:decay",
    "hankel_singular_values": "curse_of_memory.theory.hankel:hankel_singular_values",
    "balanced_truncation": "curse_of_memory.theory.hankel:balanced_truncation",
    "weighted_lower_bound": "curse_of_memory.theory.hankel:weighted_lower_bound",
    "plateau_time": "curse_of_memory.theory.plateau:plateau_time",
    "stability_radius": "curse_of_memory.theory.stability:stability_radius",
    "worst_case_error": "curse_of_memory.theory.stability:worst_case_error",
    "worst_case_curve": "curse_of_memory.theory.stability:worst_case_curve",
    "fit_exponential_sum": "curse_of_memory.theory.exponential_sums:fit_exponential_sum",
    "fit": "curse_of_memory.training:fit",
    "fit_expected": "curse_of_memory.training:fit_expected",
    "sweep": "curse_of_memory.training:sweep",
    "SequenceMap": "curse_of_memory.measure:SequenceMap",
    "memory_function": "curse_of_memory.measure:memory_function",
    "memory_report": "curse_of_memory.measure:memory_report",
    "gradient_norms": "curse_of_memory.measure:gradient_norms",
    "stability_margin": "curse_of_memory.measure:stability_margin",
    "perturbation_curve": "curse_of_memory.measure:perturbation_curve",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'curse_of_memory' has no attribute {name!r}")
    module, _, member = _HOMES[name].partition(":")
    value = import_module(module)
    if member:
        value = getattr(value, member)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
