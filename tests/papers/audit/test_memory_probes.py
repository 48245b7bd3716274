"""Memory by definition and as the public code measures it."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit import _public_probes as public
from curse_of_memory.papers.audit import memory_probes as audit
from curse_of_memory.report.reference_numbers import reference

EPS = np.finfo(float).eps
HORIZON = 20


@pytest.fixture(scope="module")
def data():
    return audit.data(horizon=HORIZON, inputs=6, sequences=16, draws=8, device="cpu")


@pytest.fixture(scope="module")
def rows(data):
    def both(words):
        found = [v for key, v in data.headline.items() if words in key]
        assert len(found) == 2, words
        return found

    return both


def test_one_step_input_gives_the_memory_one_step_later_and_as_large_as_the_input():
    model = RNN.from_exponential_sum(rates=[-np.log(0.9)], coefficients=[1.0])
    change, size = public.single_step(model, 15, seed=3)
    assert change.shape == (15,)
    np.testing.assert_allclose(change, size * 0.9 ** np.arange(1, 16), rtol=1e-12)


def test_second_differences_are_those_of_the_memory():
    rho = (1.0 + np.arange(100)) ** -1.1
    change = public.second_difference(public.Convolution(rho), 10)
    assert change.shape == (40,)
    # differences of sums of 42 terms of at most 0.1
    np.testing.assert_allclose(change, 0.1 * np.abs(np.diff(rho))[1:41], rtol=0, atol=42 * EPS)


def test_a_saved_query_is_the_answer_to_zeros_and_leaves_no_trace():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    teacher = public.DecoderTeacher(True, seed=0).eval()
    first, again, other = (public.saved_query(teacher, HORIZON, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert not teacher.training
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.no_grad():
        constant = teacher(torch.zeros(1, HORIZON, 1, dtype=torch.float64))
    assert float(constant.std()) <= 8 * EPS * float(constant.abs().max())


def test_the_published_teacher_sees_other_sequences_and_no_other_time():
    published, causal = (public.DecoderTeacher(way, seed=1).eval() for way in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(published.parameters(), causal.parameters(), strict=True))
    x = torch.randn(3, 8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[0, 4] += 1
    with torch.no_grad():
        mixed, ordered = ((model(moved) - model(x)).abs()[..., 0] > 1e-12 for model in (published, causal))
    steps = torch.arange(8)
    assert torch.equal(mixed, (steps == 4).expand(3, 8))
    assert torch.equal(ordered[0], steps >= 4)
    assert not ordered[1:].any()


def test_no_single_input_shows_more_than_the_supremum_which_is_exact(data):
    panel = data.table[data.table.panel == "inputs"]
    kinds = {kind: curve.set_index("x").y for kind, curve in panel.groupby("kind")}
    np.testing.assert_allclose(kinds["measured"], kinds["exact"], rtol=1e-9)
    assert (kinds["single"].groupby("x").max() <= kinds["exact"][1:] * (1 + 1e-9)).all()


def test_the_spread_is_over_the_single_inputs(data, expect_spread):
    singles = data.table[(data.table.kind == "single") & (data.table.x == audit.LAG)].y
    (label,) = data.spread
    assert label.endswith("median of 6, as in the code")
    expect_spread(data, label, singles)


def test_differences_lose_the_first_lag_the_time_step_and_one_power(rows):
    np.testing.assert_allclose(rows("first entry of the curve"), [1, 0.9], rtol=1e-12)
    np.testing.assert_allclose(rows("Δt = 0.1"), [0.9, 0.1 * 0.9**1.1], rtol=1e-12)
    first, second = rows("power law")
    assert first == pytest.approx(1.1, abs=1e-9)
    # the difference of (1 + t)^−1.1 is its derivative at 1 + t + 3/2, fitted against 1 + t ≥ 101
    assert 2.1 * (1 - 1.6 / 101) < second < 2.1


def test_what_is_saved_of_the_random_rnn_does_not_decay(rows):
    impulse, saved = rows("query of the filter task")
    assert impulse < 1e-3 < 0.5 < saved


def test_the_transformer_as_published_has_no_memory_but_noise(rows):
    assert rows("later answers")[0] > 1e-6
    assert rows("later answers")[1] == 0
    assert rows("other sequences")[0] == 0 < rows("other sequences")[1]
    none, noise = rows("share of noise")
    assert none == 0 < 0.05 < noise < 0.8
    still, moving = rows("s.d. over lags")
    assert still < 1e-12 < 0.01 < moving
    same, correlation = rows("correlation")
    assert same == 1
    # of independent noise at HORIZON lags
    assert abs(correlation) < 4 / np.sqrt(HORIZON)


def test_figure_12_has_the_labels_of_other_widths(rows):
    logged = reference("inverse_approximation/figure12")
    center = logged[logged.beta == 0].set_index("m").error
    shown = logged.dropna(subset="label").groupby("m").label.first().astype(int)
    assert {int(label): int(m) for m, label in shown.items()} == audit.LABELS
    for label, m in audit.LABELS.items():
        assert rows(f"E(0) of m = {label},") == [center[m], center[label]]
    assert center[64] < center[[16, 32]].min()
    assert center[256] > center[[64, 128]].max()
