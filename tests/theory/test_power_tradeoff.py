"""What a power buys and costs, against exact sums, their limits, and a search by another way."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from scipy import optimize

from curse_of_memory.theory import targets
from curse_of_memory.theory.power_tradeoff import power_tradeoff

EPS = np.finfo(float).eps
TWO = targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01])


def faulhaber(q: int, last: int) -> Fraction:
    """Return 1 + 2^q + … + last^q by its polynomial."""
    t, n = sympy.symbols("t n", integer=True, positive=True)
    return Fraction(str(sympy.summation(t**q, (t, 1, n)).subs(n, last)))


@pytest.mark.parametrize("p", [0, 1, 2, 5])
@pytest.mark.parametrize("T", [2, 7, 64])
def test_whole_powers_are_faulhabers_sums(p, T):
    lags = sorted({0, 1, T // 2, T - 1})
    row = power_tradeoff(T, [p], lags=lags).loc[p]
    whole = faulhaber(p, T)
    for s in lags:
        left = 1 - faulhaber(p, s) / whole
        assert row[f"b({s})/b(0)"] == pytest.approx(float(left), rel=T * EPS)
    steps = whole**2 / faulhaber(2 * p, T)
    assert row.effective_steps == pytest.approx(float(steps), rel=4 * T * EPS)
    assert row.batch_factor == pytest.approx(float(T / steps), rel=4 * T * EPS)


@pytest.mark.parametrize("p", [-2.5, -0.3, 0.5, 3.3])
def test_other_powers_are_differences_of_zeta_functions(p):
    T = 200

    def total(power, first):
        return mpmath.zeta(-power, first) - mpmath.zeta(-power, T + 1)

    with mpmath.workdps(30):
        row = power_tradeoff(T, [p], lags=[60]).loc[p]
        assert row["b(60)/b(0)"] == pytest.approx(float(total(p, 61) / total(p, 1)), rel=T * EPS)
        steps = total(p, 1) ** 2 / total(2 * p, 1)
        assert row.effective_steps == pytest.approx(float(steps), rel=4 * T * EPS)


@pytest.mark.parametrize("p", [0.0, 0.5, 2.0, 10.0])
def test_long_horizons_tend_to_the_closed_forms(p):
    T = 100_000
    row = power_tradeoff(T, [p]).loc[p]
    # the next term of Euler and Maclaurin is (p + 1)/T of the sum at most, for either of the two sums of n
    off = 4 * (p + 1) / T
    assert row[f"b({T // 2})/b(0)"] == pytest.approx(1 - 2 ** -(p + 1), abs=off)
    assert row[f"b({T // 4})/b(0)"] == pytest.approx(1 - 4 ** -(p + 1), abs=off)
    assert row.effective_steps / T == pytest.approx((2 * p + 1) / (p + 1) ** 2, rel=off)


def test_the_last_step_alone_weighs_all_lags_alike_and_costs_the_horizon():
    row = power_tradeoff(50, [math.inf]).loc[math.inf]
    assert (row.filter(like="b(") == 1).all()
    assert (row.effective_steps, row.batch_factor) == (1.0, 50.0)


@pytest.mark.parametrize("p", [0.0, 1.0, 4.0])
def test_one_mode_is_the_best_by_a_plain_search(p):
    T, rho = 60, TWO.on_grid(60).values
    w = np.array([sum(float(t) ** p for t in range(s + 1, T + 1)) for s in range(T)])

    def fitted(rate):
        mode = np.exp(-rate * np.arange(T))
        return (w * rho) @ mode / ((w * mode) @ mode) * mode

    def misfit(log_rate):
        return float(w @ (rho - fitted(math.exp(log_rate))) ** 2)

    grid = np.linspace(-7, 2, 400)
    start = grid[np.argmin([misfit(x) for x in grid])]
    best = optimize.fminbound(misfit, start - 0.05, start + 0.05)
    missed = rho - fitted(math.exp(np.asarray(best).item()))
    row = power_tradeoff(T, [p], rho=TWO, terms=1).loc[p]
    for name, part in (("early_error", slice(0, 30)), ("late_error", slice(30, None))):
        expected = np.linalg.norm(missed[part]) / np.linalg.norm(rho[part])
        # a bounded search is good to about 1e-5 of its bounds
        assert row[name] == pytest.approx(expected, rel=1e-4)
    assert 1 <= row.above_bound < 1.05


def test_late_errors_are_traded_for_early_ones_and_steps():
    table = power_tradeoff(100, [0, 1, 2, 4, 10], rho=TWO, terms=1)
    assert (np.diff(table.late_error) < 0).all()
    assert (np.diff(table.early_error) > 0).all()
    assert (np.diff(table.batch_factor) > 0).all()


def test_where_the_modes_hold_all_of_it_every_power_learns_it():
    table = power_tradeoff(100, [0, 4], rho=TWO, terms=2)
    assert table[["early_error", "late_error"]].to_numpy().max() < 1e-12
    assert table.above_bound.isna().all()


def test_a_memory_may_be_a_target_or_its_values_in_any_unit():
    by_target = power_tradeoff(40, [1], rho=TWO, dt=0.5)
    assert power_tradeoff(40, [1], rho=TWO.on_grid(40, 0.5)).equals(by_target)
    scaled = power_tradeoff(40, [1], rho=1e-100 * TWO.on_grid(40, 0.5).values)
    assert np.allclose(scaled, by_target, rtol=1e-9)
    gone = power_tradeoff(40, [1], rho=np.r_[np.ones(20), np.zeros(20)])
    assert gone.late_error[1] == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_tradeoff(1), "horizon must be"),
        (lambda: power_tradeoff(10, lags=[10]), "lags must lie within the horizon, 0 to 9, got 10"),
        (lambda: power_tradeoff(10, lags=[-1]), "lags must"),
        (lambda: power_tradeoff(3, rho=[1.0, math.nan, 0.0]), "rho must be finite"),
        (lambda: power_tradeoff(10, []), "powers must not be empty"),
        (lambda: power_tradeoff(10, [math.nan]), "powers must be finite"),
        (lambda: power_tradeoff(3, rho=[0.0, 0.0, 0.0]), "rho must not be zero at every lag"),
        (lambda: power_tradeoff(10, terms=0), "terms must be at least 1"),
        (lambda: power_tradeoff(10, rho=np.ones(9)), "rho must have a value at each lag, 10, got 9"),
        (lambda: power_tradeoff(10, rho=np.ones(10), terms=6), "terms must be at most"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_fit_far_off_of_which_nothing_is_proved_is_not_called_exact():
    """A pulse at the last lag is one corner of the Hankel matrix, of rank one: no section says more."""
    table = power_tradeoff(10, rho=np.eye(1, 10, 9)[0])
    assert (table.late_error > 0.9).all()
    assert table.above_bound.eq(math.inf).all()
