"""The weight of the loss in the ways of paper, README and code."""

import math

import numpy as np
import pytest

from curse_of_memory.papers.audit import _copying, loss_weights
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias

EPS = np.finfo(float).eps
T, SAMPLES, LENGTH, BLANK = 40, 2000, 3, 30
N = BLANK + 2 * LENGTH


@pytest.fixture(scope="module")
def audit():
    return loss_weights.data(
        horizon=T, samples=SAMPLES, memory_length=LENGTH, blank=BLANK, sequences=8, device="cpu"
    )


@pytest.fixture(scope="module")
def rows(audit):
    def both(words):
        found = [v for key, v in audit.headline.items() if words in key]
        assert len(found) == 2, words
        return found

    return both


def curve(audit, panel, name, kind):
    table = audit.table
    chosen = table[(table.panel == panel) & (table.curve == name) & (table.kind == kind)]
    return chosen.set_index("x").y


def test_ratios_of_the_first_to_the_last_lag_are_those_of_the_powers(rows):
    ratio = {p: bias.power(p).head_tail_ratio(T) for p in (-2, 0, 2, 4)}
    np.testing.assert_allclose(rows("sign of the power: b(0)"), [ratio[2], ratio[-2]], rtol=1e-12)
    np.testing.assert_allclose(rows("place of the weight: b(0)"), [ratio[2], ratio[4]], rtol=1e-12)
    np.testing.assert_allclose(rows("p = ∞: b(0)"), [1, T], rtol=1e-12)


@pytest.mark.parametrize("way", ["paper", "README", "code", "paper, infinity", "code, infinity"])
def test_sampled_losses_show_the_bias(audit, way):
    exact, measured = (curve(audit, "bias", way, kind) for kind in ("exact", "measured"))
    # each is a quotient of two means of SAMPLES sums of w x², whose relative variance is at most 2
    np.testing.assert_allclose(measured, exact[measured.index], atol=6 * math.sqrt(4 / SAMPLES))
    assert (exact.diff().dropna() <= 4 * EPS).all()


def test_the_later_the_weight_the_more_of_the_slow_memory_is_kept(audit):
    ways = ("README", "code, infinity", "paper", "code", "paper, infinity")
    kept = [curve(audit, "memory", way, "exact").loc[T // 2] for way in ways]
    assert np.all(np.diff(kept) > 0)


def test_the_authors_printed_ratios_are_those_of_the_squared_weight(audit, rows):
    paper, code = rows("printed ratios")
    (printed,) = audit.paper.values()
    assert abs(printed / code - 1) < 0.02 < abs(printed / paper - 1)


def test_an_error_twice_as_large_counts_twice_without_the_square(rows):
    np.testing.assert_allclose(rows("square of the error"), [4, 2], rtol=1e-12)


def test_the_copying_weights_have_their_own_first_step_and_their_own_infinity():
    t = np.arange(1.0, 11.0)
    w = _copying.copying_weights(2)(t)
    assert w[0] == 1
    np.testing.assert_allclose(w[1:], (t[:-1] / 10) ** 2, rtol=4 * EPS)
    assert (_copying.copying_weights(_copying.FOR_INFINITY)(t) == 1).all()
    assert np.isfinite(_copying.copying_weights(-1)(t)).all()


@pytest.mark.parametrize("way", ["weight on the error", "weight on the logits"])
def test_losses_of_logits_with_a_margin_are_their_closed_form(audit, way):
    measured = curve(audit, "margin", way, "measured")
    weight = 1.0 if way == "weight on the error" else 1 / N
    expected = _copying.cross_entropy(measured.index, weight)
    # log-softmax subtracts two numbers of the size of the weighted margin
    bound = 32 * EPS * (1 + weight * measured.index.to_numpy())
    assert (np.abs(measured - expected) <= bound).all()


def test_weights_on_logits_are_a_temperature(rows):
    before, after = rows("accuracy")
    assert before == after < 1
    np.testing.assert_allclose(*rows("gradient at zero logits"), rtol=1e-12)
    error, logits = rows("gradient at margin")
    assert logits > 100 * error
    margin, margin_of_logits = rows("margin of the logits")
    assert margin_of_logits == pytest.approx(N * margin, rel=1e-12)
    logs = reference("interest/copying_logs").set_index(["memory_length", "p", "epoch"])
    final = logs.loss[10, 0, 50]
    assert _copying.cross_entropy(margin) == pytest.approx(final, rel=1e-9)
    plain, weighted = rows("loss of fixed logits")
    assert plain < weighted < math.log(10) + 0.05


def test_clipping_before_backward_clips_nothing(rows):
    clipped, free = rows("norm of the gradient used")
    assert clipped == pytest.approx(_copying.CLIP, rel=1e-5)  # torch divides by the norm plus 1e-6
    assert free > 2 * _copying.CLIP


def test_two_unseeded_runs_share_as_many_digits_as_chance_has_it(rows):
    same, share = rows("share of equal digits")
    assert same == 1
    digits = 256 * LENGTH
    assert abs(share - 1 / 8) < 5 * math.sqrt(7 / 64 / digits)
