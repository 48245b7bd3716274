"""What the panels of the lemmas say, in numbers."""

import math

import numpy as np
import pytest

from curse_of_memory.papers.theory import lemmas as figure

NORMS = {0: 0.5, 1: 0.905, 5: 6.99, 10: 25.7}


@pytest.fixture(scope="module")
def lemmas():
    return figure.data(horizon=60, device="cpu")


def curve(data, panel, kind, **chosen):
    table = data.table[(data.table.panel == panel) & (data.table.kind == kind)]
    for name, value in chosen.items():
        table = table[table[name] == value]
    return table


def test_the_headline_has_the_norms_of_the_counterexample_beside_the_claim(lemmas):
    for a, norm in NORMS.items():
        assert float(f"{lemmas.headline[f'|P|, a = {a}']:.3g}") == norm
        assert lemmas.paper[f"|P|, a = {a}"] == 0.5


@pytest.mark.parametrize("a", NORMS)
def test_measured_propagators_lie_on_the_closed_form_below_the_proven_bound(lemmas, a):
    exact, bound, measured = (
        curve(lemmas, "propagator", k, parameter=a) for k in ("theorem", "bound", "measured")
    )
    assert (bound.y.values >= exact.y.values * (1 - 1e-12)).all()
    assert bound.y.iloc[-1] < 3 * exact.y.iloc[-1]
    t = measured.x.values
    np.testing.assert_allclose(measured.y, np.exp(np.arcsinh(a * t / 2) - t), rtol=1e-12)
    claimed = curve(lemmas, "propagator", "claimed")
    # equal for a = 0, up to one rounding each
    assert (claimed.y.values <= exact.y.values * (1 + 1e-15)).all()
    assert (claimed.y.values[1:] < exact.y.values[1:]).all() == (a != 0)


def test_one_solution_ends_at_the_origin_and_the_other_at_the_edge(lemmas):
    ends = {name: c.iloc[-1] for name, c in curve(lemmas, "basin", "simulated").groupby("curve")}
    assert math.hypot(ends["decays"].x, ends["decays"].y) < 1e-6
    assert max(abs(ends["does not decay"].x), abs(ends["does not decay"].y)) > 0.99


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_stacks_of_torch_modules_are_the_binomials(lemmas, count):
    measured = curve(lemmas, "stack", "measured", parameter=count)
    s = measured.x.to_numpy()
    exact = [math.comb(int(k) + count - 1, count - 1) * 0.9**k for k in s]
    np.testing.assert_allclose(measured.y, exact, rtol=1e-12)  # 60 steps a layer


def test_only_the_rescaled_model_of_the_first_target_has_one_envelope(lemmas):
    envelope = curve(lemmas, "modes", "theorem", curve="rescaled, q = 1")
    np.testing.assert_allclose(envelope.y, envelope.x / (1 - envelope.x), rtol=1e-9)
    for name in ("plain, q = 1", "rescaled, q = 2"):
        furthest = curve(lemmas, "modes", "theorem", curve=name).groupby("parameter").x.max()
        assert (np.diff(furthest) < 0).all()
        np.testing.assert_allclose(furthest, 1 / furthest.index.to_numpy(), rtol=1e-5)


def test_the_message_says_what_is_theorem_and_what_is_measured(lemmas):
    for word in ("Theorems", "claims", "computed", "measured"):
        assert word in lemmas.message


def test_axes_say_what_they_are():
    few = figure.data(shears=(0, 3), layers=(1, 2), modes=(2, 4), horizon=10, device="cpu")
    axes = figure.plot(few).axes
    assert [axis.get_title(loc="left")[:3] for axis in axes] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in axes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": (0,)}, "layers must be at least 1"),
        ({"modes": (0,)}, "modes must be at least 1"),
        ({"shears": (math.inf,)}, "shears must be finite"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        figure.data(device="cpu", **arguments)
