"""How long does a sequence model remember, can it learn to, and can we prove it?

>>> import curse_of_memory as com
>>> com.targets.polynomial(exponent=1.1, rate=0.1).norm(1)
100.0

Names are loaded when they are first used, so that theory alone does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from curse_of_memory.tools.versions import __version__

if TYPE_CHECKING:  # for editors and type checkers, who cannot follow __getattr__; the same names as below
    from curse_of_memory import losses as losses
    from curse_of_memory import measure as measure
    from curse_of_memory import nn as nn
    from curse_of_memory import papers as papers
    from curse_of_memory import tasks as tasks
    from curse_of_memory import training as training
    from curse_of_memory.measure import SequenceMap as SequenceMap
    from curse_of_memory.measure import gradient_norms as gradient_norms
    from curse_of_memory.measure import memory_function as memory_function
    from curse_of_memory.measure import memory_report as memory_report
    from curse_of_memory.measure import perturbation_curve as perturbation_curve
    from curse_of_memory.measure import stability_margin as stability_margin
    from curse_of_memory.nn.seats import eviction as eviction
    from curse_of_memory.nn.seats.expire_span import add_expire_span as add_expire_span
    from curse_of_memory.nn.seats.expire_span import load_expire_span as load_expire_span
    from curse_of_memory.report.citations import cite as cite
    from curse_of_memory.theory import bias as bias
    from curse_of_memory.theory import exponential_sums as exponential_sums
    from curse_of_memory.theory import targets as targets
    from curse_of_memory.theory.decay import decay as decay
    from curse_of_memory.theory.exponential_sums import fit_exponential_sum as fit_exponential_sum
    from curse_of_memory.theory.hankel import balanced_truncation as balanced_truncation
    from curse_of_memory.theory.hankel import hankel_singular_values as hankel_singular_values
    from curse_of_memory.theory.hankel import weighted_lower_bound as weighted_lower_bound
    from curse_of_memory.theory.plateau import plateau_time as plateau_time
    from curse_of_memory.theory.power_tradeoff import power_tradeoff as power_tradeoff
    from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS as reparameterizations  # noqa: F401, N811
    from curse_of_memory.theory.stability import stability_radius as stability_radius
    from curse_of_memory.theory.stability import worst_case_curve as worst_case_curve
    from curse_of_memory.theory.stability import worst_case_error as worst_case_error
    from curse_of_memory.theory.states_needed import states_needed as states_needed
    from curse_of_memory.training import fit as fit
    from curse_of_memory.training import fit_expected as fit_expected
    from curse_of_memory.training import sweep as sweep
else:  # where a checker sees this function it takes any name for granted

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(f"module 'curse_of_memory' has no attribute {name!r}")
        module, _, member = _HOMES[name].partition(":")
        value = import_module(module)
        if member:
            value = getattr(value, member)
        globals()[name] = value
        return value


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
    "states_needed": "curse_of_memory.theory.states_needed:states_needed",
    "plateau_time": "curse_of_memory.theory.plateau:plateau_time",
    "power_tradeoff": "curse_of_memory.theory.power_tradeoff:power_tradeoff",
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
    "eviction": "curse_of_memory.nn.seats.eviction",
    "add_expire_span": "curse_of_memory.nn.seats.expire_span:add_expire_span",
    "load_expire_span": "curse_of_memory.nn.seats.expire_span:load_expire_span",
    "cite": "curse_of_memory.report.citations:cite",
}

__all__ = ["__version__", *_HOMES]


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
