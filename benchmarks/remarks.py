"""What a row says of its other ways and its peers: all of it measured."""

import numpy as np

from benchmarks.peers import Peer
from benchmarks.rows import Case, Row
from benchmarks.timing import Timing, take_turns

AS_GOOD = 1.001  # a peer whose error is up to so many times ours has done the same work


def of_others(row: Row, case: Case, timing: Timing, shares: list[float]) -> list[str]:
    """Return a remark on each other way, and add to `shares` what is reached of each ratio wished for."""
    remarks = []
    for name in case.others:
        quartiles = of_our_time(timing, name)
        remarks.append(f"{name} takes {_range(quartiles)} of our time")
        if row.against == name:
            shares[0] = quartiles[1] / row.goal
        if name in row.wanted:
            shares.append(quartiles[1] / row.wanted[name])
    return remarks


def of_peers(
    peers: dict[str, Peer], timing: Timing, bound: float, budget: float, device: str, shares: list[float]
) -> list[str]:
    """Return a remark on each peer, and where one is ahead; add to `shares` those that do the same work."""
    remarks = []
    for name, peer in peers.items():
        quartiles = peer.times * of_our_time(timing, name)
        remark, middle = f"{name} takes {_range(quartiles)} of our time", quartiles[1]
        reached = peer.reaches() if peer.reaches else 1.0
        if reached > AS_GOOD:
            remarks.append(f"{remark} and reaches {reached:.3g} times our error")
            continue
        shares.append(middle)
        if peer.reaches:
            remark += f" and reaches our error ({reached:.4f} of it)"
        if middle < 1:
            remark += ", so it is ahead: " + _why(peer, middle, timing, bound, budget, device)
        remarks.append(remark)
    return remarks


def _why(peer: Peer, middle: float, timing: Timing, bound: float, budget: float, device: str) -> str:
    reasons = []
    if peer.reaches:
        reasons.append(f"ours takes as long as {1 / middle:.3g} of its searches")
    for part, (ours, theirs) in peer.parts.items():
        found = take_turns({"ours": ours, "theirs": theirs}, budget / 4, device).seconds
        theirs_of_part = peer.times * found["theirs"]
        theirs_rest = middle * timing.seconds["ours"] - theirs_of_part
        ours_rest = timing.seconds["ours"] - found["ours"]
        reasons.append(f"of {part} it takes {theirs_of_part / found['ours']:.2f} of our time")
        if ours_rest > 0 and theirs_rest > 0:
            reasons.append(f"of the rest {theirs_rest / ours_rest:.2f}")
    if bound:
        ours = timing.seconds["ours"]
        reasons.append(f"it is at {bound / (middle * ours):.0%} of the bound, ours at {bound / ours:.0%}")
    return ", ".join(reasons) or f"by {1 / middle:.2f}x"


def of_our_time(timing: Timing, name: str) -> np.ndarray:
    """Return the quartiles of the time of another way over ours, turn by turn."""
    return np.quantile(timing.ratios["ours"] / timing.ratios[name], [0.25, 0.5, 0.75])


def _range(quartiles: np.ndarray) -> str:
    return f"{quartiles[1]:.3g} ({quartiles[0]:.3g} to {quartiles[2]:.3g})"
