"""Other packages do the work of their rows, where they are installed, and rows say what that is worth."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import fits, peers, peers_fits, remarks, timing
from benchmarks.all_rows import ROWS
from benchmarks.peers import Peer

ROOT = Path(__file__).parents[1]
EXACT = {"ESPRIT (numpy)", "ESPRIT and scipy's least_squares", "Prony (numpy)"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.make("cpu", True).peers], ids=lambda row: row.name
)
def test_what_is_there_answers_as_ours_does(row):
    case = row.make("cpu", True)
    there, missing = peers.prepared(case.peers, torch.finfo(case.dtype).eps)
    assert len(there) + len(missing) == len(case.peers)
    assert [remark for remark in missing if not remark.endswith("was not there")] == []
    for peer in there.values():
        peer.way()
        for ours, theirs in peer.parts.values():
            ours()
            theirs()


@pytest.mark.parametrize("name", sorted(EXACT | {"ERA (python-control)"}))
def test_a_sum_of_exponentials_is_found_again(name):
    true = np.array([0.95, 0.6, 0.2])
    values = true ** np.arange(60)[:, None] @ np.array([1.0, 0.5, 2.0])
    try:
        found = peers_fits.FINDERS[name](values, 3)
    except ImportError:
        pytest.skip(f"{name} is not installed")
    np.testing.assert_allclose(np.sort(np.real(found)), np.sort(true), rtol=1e-6)


def test_modes_that_grow_are_no_memory():
    values = 0.5 ** np.arange(20.0)
    assert peers_fits.error(values, np.array([0.5, 3.0])) < 1e-14
    assert peers_fits.error(values, np.array([3.0])) == 1.0


def test_a_fit_is_timed_and_not_looked_up():
    case = fits.ROWS[0].make("cpu", True)
    case.fast()
    kept = fits.rate_search._real_rates.cache_info().misses
    case.fast()
    assert fits.rate_search._real_rates.cache_info() == (0, 1, 4, 1)
    assert kept == 1


def test_a_peer_that_is_not_there_or_answers_otherwise_is_not_timed():
    one, two = [torch.ones(3)], [torch.tensor([1.0, 1.0, 1.5])]

    def missing() -> Peer:
        raise ImportError

    there, said = peers.prepared(
        {
            "none": missing,
            "same": lambda: Peer(int, lambda: (one, one)),
            "other": lambda: Peer(int, lambda: (one, two)),
            "fewer": lambda: Peer(int, lambda: (one, [])),
        },
        1e-16,
    )
    assert list(there) == ["same"]
    assert said[0] == "none was not there"
    assert said[1] == "other was not timed: its answers are 0.5 from ours"
    assert "inf" in said[2]


@pytest.mark.parametrize(
    ("seconds", "reached", "share", "words"),
    [
        (3.0, None, 3.0, r"takes 3 \(3 to 3\) of our time$"),
        (0.5, None, 0.5, r"ahead: it is at 50% of the bound, ours at 25%$"),
        (
            0.5,
            1.0,
            0.5,
            r"our error \(1\.0000 of it\), so it is ahead: ours takes as long as 2 of its searches",
        ),
        (0.5, 7.0, None, r"of our time and reaches 7 times our error$"),
    ],
)
def test_a_peer_that_is_ahead_counts_if_it_does_the_same(seconds, reached, share, words):
    found = timing.Timing({"ours": 1.0}, {"ours": np.full(3, 8.0), "peer": np.full(3, 8.0 / seconds)})
    peer = Peer(int, reaches=None if reached is None else lambda: reached)
    shares = []
    (said,) = remarks.of_peers({"peer": peer}, found, 0.25, 0.0, "cpu", shares)
    assert re.search(words, said)
    assert shares == ([] if share is None else [pytest.approx(share)])


def test_a_peer_that_is_ahead_says_in_which_part(monkeypatch):
    clock = timing.Timing({"ours": 0.4, "theirs": 0.3}, {})
    monkeypatch.setattr(remarks, "take_turns", lambda *_: clock)
    found = timing.Timing({"ours": 1.0}, {"ours": np.full(3, 8.0), "peer": np.full(3, 10.0)})
    peer = Peer(int, parts={"the way forwards": (int, int)})
    (said,) = remarks.of_peers({"peer": peer}, found, 0.0, 0.0, "cpu", [])
    assert said.endswith("so it is ahead: of the way forwards it takes 0.75 of our time, of the rest 0.83")


def test_what_is_installed_beside_replaces_no_locked_version():
    lines = [line for line in (ROOT / "benchmarks/peers.txt").read_text().splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)
    locked = {line.partition("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().split()}
    assert not locked & {line.partition("==")[0].lower() for line in lines}
    assert "--no-deps --requirement" in (ROOT / "Makefile").read_text()
