"""Kernels, layers and maps of papers and public code."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit import _maps, kernels_and_maps


@pytest.fixture(scope="module")
def data():
    return kernels_and_maps.data(horizon=40, terms=3, device="cpu")


@pytest.fixture(scope="module")
def rows(data):
    def both(words):
        found = [v for key, v in data.headline.items() if words in key]
        assert len(found) == 2, words
        return found

    return both


def test_kernels_have_the_decay_of_their_formulas(rows):
    np.testing.assert_allclose(rows("decay rate, the bound"), [-math.log(0.9), 1], rtol=1e-12)
    np.testing.assert_allclose(rows("ρ(40)/ρ(0)"), [41**-1.1, 5**-1.1], rtol=1e-12)
    slow, fast = rows("smallest relative error")
    assert fast < slow


@pytest.mark.parametrize("dt", [0.1, 1.0])
def test_the_missing_time_step_is_a_factor(dt):
    paper, code = kernels_and_maps.answers(dt, seed=0)
    assert code / paper == pytest.approx(1 / dt, rel=1e-9)


def test_the_place_of_the_activation_matters_for_large_inputs_only(data, rows):
    small, large = rows("|x| = 0.01"), rows("|x| = 3")
    assert abs(small[1] / small[0] - 1) < 0.01
    assert large[1] > 3 * large[0]
    weights = {"diagonal": True, "bias": False, "seed": 0, "dtype": torch.float64}
    linear = memory_function(RNN(_maps.ACTIVATED, **weights), 40)
    for memory in _maps.activation_memories(40, 1e-4, 0, "cpu").values():
        # tanh z = z(1 − z²/3 …), with z at most the size of the input over the slowest rate, 0.01
        np.testing.assert_allclose(memory, linear, rtol=1e-3)


@pytest.mark.parametrize("real", [-0.5, 0.5])
def test_modes_grow_by_their_multiplier(real):
    sizes = _maps.growth(real, 0.1, 50)
    # a product of n factors is rounded n times
    np.testing.assert_allclose(sizes, np.exp(real * 0.1 * np.arange(50)), rtol=50 * 8 * np.finfo(float).eps)


def test_the_drawn_modes_are_on_their_closed_form(data):
    start = data.table[data.table.panel == "start"]
    exact, stepped = (start[start.kind == kind].set_index(["curve", "x"]).y for kind in ("exact", "stepped"))
    np.testing.assert_allclose(stepped, exact[stepped.index], rtol=1e-9)
    assert rows_of(data, "size of a mode")[1] > 1e16


def rows_of(data, words):
    return [v for key, v in data.headline.items() if words in key]


def test_logged_lru_and_s4_stay_in_the_picture_and_rnn_and_ssm_leave_it():
    logs = _maps.logged_errors()
    ends = {name: _maps.finite_to(logs, name) for name in ("rnn", "ssm", "softplusssm", "lru", "s4")}
    assert ends == {"ssm": 0.008, "rnn": 0.064, "softplusssm": 1e-3 * 2**8.5, "lru": 1.024, "s4": 1.024}


def test_the_widest_lru_becomes_the_worse_one_with_hardtanh_and_tanh_only():
    logs = _maps.logged_errors()
    assert math.isnan(_maps.turning(logs, "linear"))
    assert _maps.turning(logs, "hardtanh") == _maps.turning(logs, "tanh") == 0.001


def test_maps_by_theory(rows):
    direct, lru = rows("stability radius")
    assert 0 < direct < 1
    assert lru == math.inf
    assert rows("E(0.5)")[0] == math.inf > rows("E(0.5)")[1]
    np.testing.assert_allclose(rows("fastest decay rate"), [2, 10], rtol=1e-12)
    np.testing.assert_allclose(rows("g(1)"), [1 + math.sqrt(3), 5 * (1 + math.sqrt(1.4))], rtol=1e-12)


def test_repeats_of_one_seed_have_no_spread(rows):
    three, one = rows("s.d. of 3 losses")
    assert three > 0 == one


def test_lemma(rows):
    claimed, found = rows("lemma A.8")
    assert (claimed, round(found, 1)) == (0.5, 25.7)
