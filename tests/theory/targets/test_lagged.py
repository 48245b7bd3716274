"""Every function that takes a sampled kernel reads its step from the labels, or says what is wrong."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import curse_of_memory as com
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.hankel import bound_of_filters
from curse_of_memory.theory.targets.far_bump import far_bump
from curse_of_memory.theory.targets.lagged import lag_step, lagged
from curse_of_memory.theory.tensor_trains import fit_tensor_train, ranks

DT, SIZE = 0.1, 64
RHO = targets.exponential(2.0).on_grid(SIZE, DT)
PLAIN = RHO.values
FIT = com.exponential_sums.ExponentialSum(rates=[1.5], coefficients=[1.0], dt=DT)
FILTERS = np.eye(3, 30), np.eye(3, 35)
ORDERED = np.arange(float(SIZE), 0, -1)  # a bias: it must not increase

# every public function that takes values at lags: how it is called with them
TAKERS = {
    "fit_exponential_sum": ("values", lambda v: com.fit_exponential_sum(v, 1)),
    "fit_exponential_sum, weight": ("weight", lambda v: com.fit_exponential_sum(PLAIN, 1, v)),
    "fit_exponential_sums": ("values", lambda v: com.exponential_sums.fit_exponential_sums(v, 1)),
    "weighted_lower_bound": ("values", lambda v: com.weighted_lower_bound(v, 1)),
    "weighted_lower_bound, weight": ("weight", lambda v: com.weighted_lower_bound(PLAIN, 1, v)),
    "bound_of_filters": ("values", lambda v: bound_of_filters(v, 1, *FILTERS)),
    "bound_of_filters, weight": ("weight", lambda v: bound_of_filters(PLAIN, 1, *FILTERS, v)),
    "hankel_singular_values": ("source", com.hankel_singular_values),
    "decay": ("memory", com.decay),
    "memory_report": ("memory", lambda v: com.memory_report({"own": v})),
    "LinearFunctional": ("rho", lambda v: com.tasks.LinearFunctional(v, SIZE)),
    "LinearFunctional, callable": ("rho", lambda v: com.tasks.LinearFunctional(lambda t: v, SIZE, dt=DT)),
    "VolterraFunctional": ("first", lambda v: com.tasks.VolterraFunctional(SIZE, first=v)),
    "VolterraFunctional, pair": ("second", lambda v: com.tasks.VolterraFunctional(SIZE, second=[(PLAIN, v)])),
    "worst_case_error": ("rho", lambda v: com.worst_case_error(FIT, v, 0.1, horizon=SIZE, budget=1)),
    "worst_case_error, weight": (
        "weight",
        lambda v: com.worst_case_error(FIT, PLAIN, 0.1, horizon=SIZE, weight=v, budget=1),
    ),
    "weighted_error": ("rho", lambda v: bias.weighted_error(v, PLAIN, bias.power(0))),
    "weighted_error, model": ("rho_hat", lambda v: bias.weighted_error(PLAIN, v, bias.power(0))),
    "weighted_error, bias": ("b", lambda v: bias.weighted_error(PLAIN, 0 * PLAIN, v)),
    "ranks": ("values", ranks),
    "fit_tensor_train": ("values", lambda v: fit_tensor_train(v, 1)),
    "fit_tensor_train, weight": ("weight", lambda v: fit_tensor_train(PLAIN, 1, v)),
}
DESCENDING = np.linspace(1.0, 0.1, SIZE)  # good as a kernel, a weight and a bias


def over(lags):
    return xr.DataArray(DESCENDING[: len(lags)], {"lag": lags}, ["lag"])


GRID = DT * np.arange(SIZE)
MASKED = np.ma.masked_array(DESCENDING, np.arange(SIZE) == 3)
ILL = {
    "uneven": (over(GRID**1.5), "lags of {} must be even"),
    "one lag off by a hundredth of a step": (
        over(GRID + 1e-3 * (GRID[9] == GRID)),
        "lags of {} must be even",
    ),
    "not from 0": (over(GRID + DT), "lags of {} must start at 0"),
    "descending": (over(GRID[::-1]), "lags of {} must increase"),
    "repeated": (over(np.repeat(GRID[::2], 2)), "lags of {} must increase"),
    "NaN in lags": (over(np.where(GRID == 0, math.nan, GRID)), "lags of {} must be finite"),
    "dates": (over(pd.date_range("2020", periods=SIZE)), "lags of {} must be an array of real numbers"),
    "another dimension": (xr.DataArray(DESCENDING, {"time": GRID}, ["time"]), "{} must be over 'lag'"),
    "uneven index": (pd.Series(DESCENDING, GRID**1.5), "lags of {} must be even"),
    "late index": (pd.Series(DESCENDING, range(3, SIZE + 3)), "lags of {} must start at 0"),
    "index of words": (
        pd.Series(DESCENDING, [f"lag {i}" for i in range(SIZE)]),
        "lags of {} must be an array",
    ),
    "table": (pd.DataFrame({"rho": DESCENDING}), "{} must be one array, got a DataFrame"),
    "dataset": (xr.Dataset({"rho": over(GRID)}), "{} must be one array, got a Dataset"),
    "masked": (MASKED, "{} must have no masked entries, got 1"),
    "NaN": (np.where(GRID > 1, math.nan, DESCENDING), "{} must be finite"),
    "infinite": (np.where(GRID > 1, math.inf, DESCENDING), "{} must be finite"),
    "complex": (DESCENDING + 0j, "{} must be an array of real numbers"),
    "text": ([str(v) for v in DESCENDING], "{} must be an array of real numbers"),
    "objects": (DESCENDING.astype(object), "{} must be an array of real numbers"),
    "durations": (np.arange(SIZE).astype("m8[s]"), "{} must be an array of real numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "{} must be an array of real numbers"),
    "empty": ([], "{} must not be empty"),
    "gradients": (torch.tensor(DESCENDING, requires_grad=True), "{} must not require gradients"),
    "on no device": (torch.empty(SIZE, device="meta"), "{} must be an array of real numbers"),
    "bfloat16": (torch.tensor(DESCENDING, dtype=torch.bfloat16), "{} must be an array of real numbers"),
}


@pytest.mark.parametrize("ill", ILL)
@pytest.mark.parametrize("taker", TAKERS)
def test_an_ill_kernel_is_refused_by_name_in_one_line(taker, ill):
    name, call = TAKERS[taker]
    values, message = ILL[ill]
    if taker == "memory_report" and not isinstance(values, xr.DataArray):
        pytest.skip("takes modules and labelled memories")
    with pytest.raises((ValueError, TypeError)) as refused:
        call(values)
    said = str(refused.value)
    assert "\n" not in said
    # one of several has its name before that of the argument, a part of a pair its place behind it
    said = said.removeprefix("models['own']: ")
    assert re.match(re.escape(message).replace(r"\{\}", rf"{name}(?: \(\d+\))?"), said), said


CONTRADICTED = {
    "fit_exponential_sum": lambda v: com.fit_exponential_sum(v, 1, dt=0.2),
    "fit_exponential_sum, weight": lambda v: com.fit_exponential_sum(v, 1, over(2 * GRID)),
    "fit_exponential_sum, plain": lambda v: com.fit_exponential_sum(PLAIN, 1, v, dt=0.2),
    "weighted_lower_bound": lambda v: com.weighted_lower_bound(v, 1, dt=0.2),
    "bound_of_filters": lambda v: bound_of_filters(v, 1, *FILTERS, dt=0.2),
    "decay": lambda v: com.decay(v, dt=0.2),
    "LinearFunctional": lambda v: com.tasks.LinearFunctional(v, SIZE, dt=0.2),
    "VolterraFunctional": lambda v: com.tasks.VolterraFunctional(SIZE, first=v, dt=0.2),
    "VolterraFunctional, both": lambda v: com.tasks.VolterraFunctional(
        SIZE, first=v, second=[(over(2 * GRID), v)]
    ),
    "worst_case_error": lambda v: com.worst_case_error(FIT, over(2 * GRID), 0.1, horizon=SIZE),
    "worst_case_curve": lambda v: com.worst_case_curve(FIT, over(2 * GRID), [0.1], horizon=SIZE),
    "weighted_error": lambda v: bias.weighted_error(v, PLAIN, bias.power(0), dt=0.2),
    "weighted_error, two": lambda v: bias.weighted_error(v, over(2 * GRID), bias.power(0)),
    "weighted_error, bias": lambda v: bias.weighted_error(v, PLAIN, over(2 * GRID)),
}


@pytest.mark.parametrize("taker", CONTRADICTED)
def test_a_step_that_contradicts_the_labels_is_refused(taker):
    with pytest.raises(ValueError, match=r"must agree in their step, got 0\.[12] and 0\.[12]$"):
        CONTRADICTED[taker](over(GRID))


# --- right values ------------------------------------------------------------------------------------

LABELLED = {"DataArray": RHO, "Series": pd.Series(PLAIN, GRID), "no labels, but dt": PLAIN}


@pytest.mark.parametrize("kind", LABELLED)
def test_rates_are_per_unit_time(kind):
    """e^{−2t} has the rate 2 per unit time, in whatever steps it is sampled."""
    rho, dt = LABELLED[kind], None if kind in ("DataArray", "Series") else DT
    fit = com.fit_exponential_sum(rho, 1, dt=dt)
    assert (fit.rates[0], fit.dt) == (pytest.approx(2.0, rel=1e-9), DT)
    assert com.decay(rho, dt).rate == pytest.approx(2.0, rel=1e-9)
    assert com.decay(rho, dt).half_life == pytest.approx(math.log(2) / 2, rel=1e-9)


@pytest.mark.parametrize("kind", LABELLED)
def test_sums_over_lags_have_their_factor_dt(kind):
    rho, dt = LABELLED[kind], None if kind in ("DataArray", "Series") else DT
    ones = torch.ones(1, SIZE, dtype=torch.float64)
    # dt Σ ρ_s x_{k−s} of x = 1 at the last step, the geometric sum
    sum_of_all = DT * (1 - math.exp(-2 * DT * SIZE)) / (1 - math.exp(-2 * DT))
    task = com.tasks.LinearFunctional(rho, SIZE, dt=dt)
    assert task.dt == DT
    assert task.answer(ones)[0, -1].item() == pytest.approx(sum_of_all, rel=1e-12)
    volterra = com.tasks.VolterraFunctional(SIZE, first=rho, second=[(rho, rho)], dt=dt)
    assert volterra.dt == DT
    answer = volterra.answer(ones[..., None])[0, -1, 0].item()
    assert answer == pytest.approx(sum_of_all + sum_of_all**2, rel=1e-12)
    # dt (1/T) Σ_s b_s ρ_s² with b_s = dt (T − s)
    s = np.arange(SIZE)
    expected = DT**2 / SIZE * np.sum((SIZE - s) * np.exp(-4 * DT * s))
    assert bias.weighted_error(rho, 0 * PLAIN, bias.power(0), dt=dt) == pytest.approx(expected, rel=1e-12)


def test_a_bias_is_taken_at_the_times_of_the_labels():
    """w = e^t per unit time: at lags 0, dt, ... the weights are powers of e^{dt}."""
    rho, b = targets.polynomial(1.5).on_grid(SIZE, DT), bias.exponential(1.0)
    for weighted in (
        lambda v, w: com.fit_exponential_sum(v, 2, w).error,
        lambda v, w: com.weighted_lower_bound(v, 2, w).bound,
    ):
        assert weighted(rho, b) == pytest.approx(weighted(rho.values, b.discrete(SIZE, DT)), rel=1e-6)


def test_tensors_series_without_labels_and_masks_of_nothing_are_read():
    plain = com.decay(PLAIN, DT)
    for same in (torch.tensor(PLAIN), pd.Series(PLAIN), np.ma.masked_array(PLAIN), PLAIN.tolist()):
        assert com.decay(same, DT) == plain
    nullable = pd.Series(PLAIN, GRID, dtype="Float64")
    assert com.decay(nullable).rate == pytest.approx(2.0, rel=1e-9)


# --- the grid -----------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    dt=st.floats(1e-9, 1e9),
    size=st.integers(2, 3000),
    made=st.sampled_from(["multiplied", "linspace", "summed", "arange", "float32"]),
)
def test_a_grid_is_even_however_it_was_rounded(dt, size, made):
    lags = {
        "multiplied": lambda: dt * np.arange(size),
        "linspace": lambda: np.linspace(0, dt * (size - 1), size),
        "summed": lambda: np.cumsum(np.append(0.0, np.full(size - 1, dt))),
        "arange": lambda: np.arange(0, dt * (size - 0.5), dt),
        "float32": lambda: (dt * np.arange(size)).astype(np.float32),
    }[made]()
    found = lag_step({"rho": xr.DataArray(np.ones(size), {"lag": lags}, ["lag"])})
    assert found == pytest.approx(dt, rel=size * float(np.finfo(lags.dtype).eps))
    if made == "multiplied":
        assert found == dt
    # and the step that it was made with does not contradict it
    assert lag_step({"rho": xr.DataArray(np.ones(size), {"lag": lags}, ["lag"])}, dt) == dt


@settings(derandomize=True, deadline=None, max_examples=50)
@given(size=st.integers(3, 2000), at=st.floats(0, 1), off=st.floats(2e-3, 0.9), single=st.booleans())
def test_an_uneven_grid_is_refused(size, at, off, single):
    lags = DT * np.arange(size)
    lags[1 + int(at * (size - 2))] += off * DT
    lags = lags.astype(np.float32 if single else float)
    with pytest.raises(ValueError, match="lags of rho must be even"):
        lagged("rho", xr.DataArray(np.ones(size), {"lag": lags}, ["lag"]))


def test_one_lag_says_nothing_but_must_be_0():
    one = xr.DataArray([1.0], {"lag": [0.0]}, ["lag"])
    assert lagged("rho", one) == ([1.0], 1.0)
    assert lagged("rho", one, dt=0.5).dt == 0.5
    with pytest.raises(ValueError, match="lags of rho must start at 0, got 3"):
        lagged("rho", one.assign_coords(lag=[3.0]))


def test_a_dimension_without_labels_says_nothing():
    assert lagged("rho", xr.DataArray(np.ones(3), dims=["lag"]), dt=0.5).dt == 0.5
    batch = xr.DataArray(np.ones((2, 3)), {"lag": [0, 0.5, 1]}, ["model", "lag"])
    assert lagged("rho", batch, ndim=None).dt == 0.5
    with pytest.raises(ValueError, match="rho must be over 'lag', its last dimension, got"):
        lagged("rho", batch.T, ndim=None)


def test_a_labelled_second_order_kernel_must_have_the_step():
    lags = {"s": 0.5 * np.arange(4), "r": 0.5 * np.arange(4)}
    second = xr.DataArray(np.eye(4), lags, ["s", "r"])
    assert com.tasks.VolterraFunctional(4, second=second).dt == 0.5
    with pytest.raises(ValueError, match=r"must agree in their step, got 0\.5 and 1"):
        com.tasks.VolterraFunctional(4, second=second, dt=1.0)


def test_a_kernel_error_is_a_tensor():
    with pytest.raises(TypeError, match="kernel_error must be a tensor, got DataArray"):
        com.losses.TemporallyWeightedMSE().expected(RHO)  # pyright: ignore[reportArgumentType]


# --- rates and coefficients, in whatever order ------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        targets.exponential_sum,
        com.exponential_sums.ExponentialSum,
        com.nn.RNN.from_exponential_sum,
        lambda *pair: far_bump(1.0, 0.5, 1.0, *pair),
    ],
)
def test_rates_and_coefficients_are_named(make):
    with pytest.raises(TypeError, match="positional argument"):
        make([1.0, 2.0], [0.1, 0.2])


def test_a_target_and_a_sum_of_one_pair_are_one_memory():
    rates, c = [0.5, 2.0], [3.0, -1.0]
    lags = np.arange(20.0)
    own = 3 * np.exp(-0.5 * lags) - np.exp(-2 * lags)
    np.testing.assert_allclose(targets.exponential_sum(rates=rates, coefficients=c)(lags), own, rtol=1e-14)
    model = com.exponential_sums.ExponentialSum(rates=rates, coefficients=c)
    np.testing.assert_allclose(model(lags), own, rtol=1e-14)
    kernel = com.nn.RNN.from_exponential_sum(rates=rates, coefficients=c).kernel(20).detach().numpy().ravel()
    np.testing.assert_allclose(kernel, own, rtol=1e-12)
