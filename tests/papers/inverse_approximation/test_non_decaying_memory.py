"""Tanh networks that do not forget: counts against theorems, the plane against its orbit."""

import numpy as np
import pytest
from matplotlib.path import Path

from curse_of_memory.measure import memory_function
from curse_of_memory.papers.inverse_approximation import non_decaying_memory as iat
from curse_of_memory.theory.lemmas.heaviside_dynamics import simulate
from curse_of_memory.theory.lemmas.planar_basin import PLANAR


@pytest.fixture(scope="module")
def found():
    return iat.data(gains=(0.25, 1.25, 2.5), width=8, networks=60, times=(50, 200), grid=31)


def network(seed, gain, m=6):
    rng = np.random.default_rng(seed)
    return gain * rng.standard_normal((m, m)) / np.sqrt(m) - np.eye(m), rng.standard_normal(m)


def test_many_networks_at_once_follow_the_equation(monkeypatch):
    """Against an integrator of order eight; half the step, a sixteenth of the error."""
    networks = [network(seed, 1.2) for seed in range(4)]
    W, drive = (np.array(part) for part in zip(*networks, strict=True))
    exact = np.array(
        [simulate(*one, np.array([0.0, 5.0, 10.0])).velocity_equation.values[1:] for one in networks]
    ).swapaxes(0, 1)
    coarse = np.abs(iat.velocity_at(W, drive, [5, 10]) - exact).max()
    monkeypatch.setattr(iat, "STEP", 0.05)
    fine = np.abs(iat.velocity_at(W, drive, [5, 10]) - exact).max()
    assert coarse < 1e-4
    assert coarse / fine == pytest.approx(16, rel=0.3)


def test_the_probe_sees_the_equation_up_to_its_steps():
    """Euler's steps of the RNN: half the step, half the gap."""
    W, drive = network(0, 0.8)
    exact = np.linalg.norm(simulate(W, drive, np.linspace(0, 8, 5)).velocity_equation, axis=1)
    gaps = []
    for dt in (0.02, 0.01):
        memory = memory_function(iat.tanh_network(W, drive, dt), round(8 / dt) + 1, closed_form=False)
        gaps.append(np.abs(memory.values[:: round(2 / dt)] - exact).max())
    assert gaps[0] < 0.02
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)


def test_unstable_networks_all_remember(found):
    """Theorem: where W is not Hurwitz, almost every start stays away from the origin."""
    shares = found.table[found.table.panel == "share"].pivot(index="x", columns="curve", values="y")
    assert (shares["t = 200"] >= shares["not Hurwitz"]).all()
    assert (shares["t = 50"] >= shares["t = 200"]).all()
    assert shares.loc[0.25].eq(0).all()
    assert shares.loc[2.5, "t = 200"] > 0.8


def test_what_counts_as_decayed_is_proven_to_decay(found):
    assert found.headline["share of the decayed with a proof of decay"] > 0.9


def test_one_network_of_each_kind_is_followed(found):
    memories = found.table[(found.table.panel == "memory") & (found.table.kind == "theorem")]
    ends = memories.groupby("curve").y.agg(["first", "last"])
    assert ends.loc["Hurwitz, decays", "last"] < 0.2 * ends.loc["Hurwitz, decays", "first"]
    assert ends.loc["not Hurwitz", "last"] > 0.1 * ends.loc["not Hurwitz", "first"]


def test_starts_decay_inside_the_orbit_and_not_outside(found):
    plane = {name: c[["x", "y"]].to_numpy() for name, c in found.table.groupby("curve") if "x" in c}
    orbit = plane["orbit"]
    starts = np.concatenate([plane["decays"], plane["does not decay"]])
    decays = np.arange(len(starts)) < len(plane["decays"])
    clear = np.linalg.norm(starts[:, None] - orbit, axis=-1).min(1) > 0.01
    assert len(starts) == 31**2
    assert clear.mean() > 0.9
    assert np.array_equal(Path(orbit).contains_points(starts)[clear], decays[clear])
    assert 0 < decays.mean() < 1


def test_the_counted_share_is_the_area_of_the_orbit(found):
    area, counted = (
        found.headline[f"plane: share of the square that decays, {how}"] for how in ("orbit", "counted")
    )
    assert counted == pytest.approx(area, abs=0.02)
    assert found.headline["plane: period of the orbit"] == pytest.approx(26.3, abs=0.05)


def test_printed_corners_are_saddles(found):
    rates = [found.headline[f"plane: eigenvalue {i} at (1, 1)"] for i in (1, 2)]
    assert rates == [-4.0, 14.0]
    assert [found.headline[f"plane: eigenvalue {i} at (1, -1)"] for i in (1, 2)] == [0.0, -2.0]


def test_the_area_of_a_circle():
    angle = np.linspace(0, 2 * np.pi, 2001)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    # a polygon of n sides: n sin(2π/n)/2
    assert iat.enclosed_area(circle) == pytest.approx(1000 * np.sin(2 * np.pi / 2000), rel=1e-12)


def test_axes_say_what_they_are(found):
    figure = iat.plot(found)
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()


def test_a_picture_without_examples():
    data = iat.data(gains=(0.2,), width=3, networks=3, times=(5,), grid=4)
    assert not (data.table.panel == "memory").any()
    iat.plot(data)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="networks must be at least 1"):
        iat.data(networks=0)
    assert np.linalg.eigvals(np.array(PLANAR)) == pytest.approx([-1, -1], abs=1e-6)
