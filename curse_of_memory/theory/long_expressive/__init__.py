"""Theorems on Long Expressive Memory (2110.04744): bounds of states and Jacobians, and the ODE it steps."""

from curse_of_memory.theory.long_expressive.bounds import (
    JacobianBounds,
    accumulated_error,
    allowed_growth,
    frozen_gate_error,
    jacobian_bounds,
    largest_state,
    time_constant,
)
from curse_of_memory.theory.long_expressive.flow import Flow, FlowEnd

__all__ = [
    "Flow",
    "FlowEnd",
    "JacobianBounds",
    "accumulated_error",
    "allowed_growth",
    "frozen_gate_error",
    "jacobian_bounds",
    "largest_state",
    "time_constant",
]
