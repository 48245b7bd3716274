"""Kernels of second order: least errors against eigenvectors and least squares."""

import math

import numpy as np
import pytest

from curse_of_memory.theory.second_order_kernels import (
    DURATION,
    KERNELS,
    PRODUCT_RATES,
    kernel_values,
    rank_errors,
    state_errors,
)


@pytest.mark.parametrize("name", KERNELS)
def test_the_least_error_is_that_of_eigenvectors_and_one_square_is_worse_than_two(name):
    K = kernel_values(name, 24)
    sizes, vectors = np.linalg.eigh(K)
    order = np.argsort(-np.abs(sizes))
    for m in (0, 1, 2, 3):
        some = order[:m]
        near = (vectors[:, some] * sizes[some]) @ vectors[:, some].T
        error = np.linalg.norm(K - near) / np.linalg.norm(K)
        assert rank_errors(K)[m] == pytest.approx(error, rel=1e-6, abs=1e-14)


def test_the_product_has_the_eigenvalues_of_two_vectors():
    """(‖a‖‖b‖ ± a·b)/2, so that one square leaves the smaller."""
    t = np.arange(40) * DURATION / 40
    a, b = (np.exp(-rate * t) for rate in PRODUCT_RATES)
    sizes = (np.linalg.norm(a) * np.linalg.norm(b) + np.array([1, -1]) * (a @ b)) / 2
    left_over = rank_errors(kernel_values("product", 40))
    assert left_over[1] == pytest.approx(sizes[1] / np.linalg.norm(sizes), rel=1e-12)
    assert left_over[2] < 1e-14


def test_projection_is_the_best_quadratic_form():
    """Against least squares over all symmetric forms of the two states that were found."""
    K = kernel_values("infinite rank", 16)
    errors = state_errors(K, 2)
    t = np.arange(16) * DURATION / 16
    best = math.inf
    for slow in np.geomspace(0.1, 2, 40):
        for fast in np.geomspace(1.05 * slow, 10, 40):
            phi = np.exp(-np.outer(t, [slow, fast]))
            design = np.stack([np.outer(phi[:, i], phi[:, j]).ravel() for i in (0, 1) for j in (0, 1)], 1)
            rest = K.ravel() - design @ np.linalg.lstsq(design, K.ravel())[0]
            best = min(best, np.linalg.norm(rest) / np.linalg.norm(K))
    assert errors[1] <= best * (1 + 1e-9)
    assert best < 1.05 * errors[1]  # so fine is the grid of rates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("square", 8), "name must be one of"), (("product", 0), "horizon must be at least 1")],
)
def test_bad_kernels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kernel_values(*arguments)


def test_a_number_of_states_is_asked_for():
    with pytest.raises(ValueError, match="states must be at least 1"):
        state_errors(np.eye(4), 0)
