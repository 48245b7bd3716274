"""Rows of attention with Expire-Span: the memories that are alive against all of them, masked."""

from collections.abc import Callable

import torch
from scipy.optimize import brentq
from torch import Tensor

from benchmarks import plain
from benchmarks.rows import Case, Row, draws, same
from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.nn.forgetting.store import KeptKeys, KeptStates
from curse_of_memory.theory.expiry import LogitNormalSpans, live_memories

SHARE = 0.1  # of the memories are alive
SPREAD = 1.5  # standard deviation of the logits of spans
SIZES = "B 4, d 256, 4 heads, block 128, float32"
ALL_BY_SDPA = "scaled_dot_product_attention of all memories with log m"


class Stream:
    """One attention in the midst of a stream: its states so far, and those of them that are alive.

    States are Gaussian, and so are the logits of their spans e = L σ(b + 1.5 z).

    Parameters
    ----------
    memories : int
        L, the limit of spans. The plain ways look at all states that are that young.
    live : float
        How many of these are alive on average.
    small : bool
        With two heads of four channels and blocks of eight steps, in place of four of 64 and 128 steps.
    kept : {'states', 'keys'}
        What is kept of those that are alive.
    """

    def __init__(self, memories: int, live: float, device: str, small: bool, kept: str = "states"):
        batch, width, heads, self.block, ramp = (2, 8, 2, 8, 4) if small else (4, 256, 4, 128, 16)
        self.attention = CausalSelfAttention(
            width,
            heads,
            bias=False,
            forgetting=ExpireSpan(memories, ramp),
            sees_itself=False,
            block=self.block,
            kept=kept,
            seed=0,
            dtype=torch.float32,
            device=device,
        )
        normal = draws(device, torch.float32)
        predictor = self.attention.get_submodule("forgetting.predictor")
        with torch.no_grad():
            w = normal(1, width)
            predictor.get_parameter("weight").copy_(SPREAD * w / w.norm())
            predictor.get_parameter("bias").fill_(_bias(memories, live, ramp))
            self.states, self.x, self.weight = (
                normal(batch, steps, width) for steps in (memories, self.block, self.block)
            )
            state = self.attention.remember(self.states).last
        assert state is not None
        self.state: KeptStates | KeptKeys = state

    def of_live(self, x: Tensor) -> Tensor:
        """Return the answers to the next block, from the memories that are alive."""
        return self.attention.remember(x, self.state).y

    def forward(self, run: Callable[[Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        """Return the work of one pass forwards, by `run`."""

        @torch.no_grad()
        def step() -> list[Tensor]:
            return [run(self.x)]

        return step

    def both_ways(self, run: Callable[[Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        """Return the work of one pass forwards and backwards, to the block and all weights."""
        x = self.x.clone().requires_grad_()
        wanted = [x, *self.attention.parameters()]

        def step() -> list[Tensor]:
            y = run(x)
            return [y.detach(), *torch.autograd.grad((y * self.weight).sum(), wanted)]

        return step

    @property
    def flops(self) -> float:
        """Operations in products of a pass forwards."""
        return self.products(self.state.ages.shape[1], isinstance(self.state, KeptStates))

    @property
    def flops_of_all(self) -> float:
        """Operations in products of a pass forwards that looks at all memories, dead ones, too."""
        return self.products(self.states.shape[1], True)

    def products(self, memories: int, projected: bool) -> float:
        """Return the operations in products of a pass over so many memories; whether from states of them."""
        batch, width = self.x.shape[0], self.x.shape[2]
        steps = 4 * self.block + 2 * memories * projected
        return 2 * batch * width * (width * steps + 2 * self.block * (memories + self.block))


def _bias(memories: int, live: float, ramp: int) -> float:
    """Return the b at which so many memories are alive on average."""

    def excess(b: float) -> float:
        exceeds = LogitNormalSpans(b, SPREAD, memories).exceeds
        return live_memories(exceeds, memories, ramp).mean - live

    return float(brentq(excess, -20.0, 20.0))  # pyright: ignore[reportArgumentType]  # it is no pair


def attention(memories: int, backward: bool, goal: float, by_sdpa: float) -> Row:
    """Answers to a block of a stream: from the live memories, and from all of them, masked."""

    def make(device: str, small: bool) -> Case:
        stream = Stream(60 if small else memories, 10 if small else SHARE * memories, device, small)
        pass_of = stream.both_ways if backward else stream.forward
        masked = pass_of(lambda x: plain.masked_attention(stream.attention, stream.states, x))
        biased = pass_of(lambda x: plain.biased_attention(stream.attention, stream.states, x))
        ours = pass_of(stream.of_live)
        return Case(
            plain=masked,
            fast=ours,
            agree=lambda: (masked() + biased(), ours() + ours()),
            flops=(3 if backward else 1) * stream.flops,
            dtype=torch.float32,
            others={ALL_BY_SDPA: biased},
            note=f"products alone stand {stream.flops_of_all / stream.flops:.1f} to 1",
        )

    what = "forward+backward" if backward else "forward"
    name = f"Expire-Span, {memories} memories, 10% alive, {SIZES}, {what}"
    wanted = {ALL_BY_SDPA: by_sdpa}
    return Row(name, "all memories, masked", goal, make, memory=memories > 10_000, wanted=wanted)


def kept_keys(memories: int) -> Row:
    """Answers to a block at inference: from keys that were kept, and from states that are projected again."""

    def make(device: str, small: bool) -> Case:
        sizes = (60, 10.0) if small else (memories, SHARE * memories)
        ways = {kept: Stream(*sizes, device, small, kept) for kept in ("states", "keys")}
        states, keys = (stream.forward(stream.of_live) for stream in ways.values())
        return Case(
            plain=states,
            fast=keys,
            agree=same(states, keys),
            flops=ways["keys"].flops,
            dtype=torch.float32,
        )

    name = f"Expire-Span with keys kept, {memories} memories, 10% alive, {SIZES}, forward"
    return Row(name, "states kept, projected again", 1.3, make)


def long_stream(blocks: int, memories: int) -> Row:
    """A stream of many blocks, with gradients recorded in each, against a tenth of it: as much memory."""

    def make(device: str, small: bool) -> Case:
        stream = Stream(60 if small else memories, 10 if small else SHARE * memories, device, small)
        count = 20 if small else blocks

        def way(blocks: int) -> Callable[[], list[Tensor]]:
            def read() -> list[Tensor]:
                state, first = stream.state, None
                for _ in range(blocks):
                    known = stream.attention.remember(stream.x, state)
                    assert known.last is not None
                    state, first = known.last, known.y.detach() if first is None else first
                assert first is not None
                return [first]

            return read

        few, many = way(count // 10), way(count)
        note = "wanted: as much peak memory in both"
        return Case(plain=few, fast=many, agree=same(few, many), times=10, dtype=torch.float32, note=note)

    name = f"Expire-Span, stream of {blocks} blocks, {memories} memories, 10% alive, {SIZES}, forward"
    return Row(name, f"{blocks // 10} blocks, times 10", 0.9, make, memory=True)


def growing(device: str, small: bool = False) -> dict[str, tuple[float, dict[int, Callable[[], object]]]]:
    """Return by what time grows: the largest slope that is wished for, and for each size the work."""
    limits, lives = ((40, 60, 90), (5, 10, 20)) if small else ((1024, 4096, 16384), (400, 1600, 6400))
    few, most = lives[0], limits[-1]
    dead = {limit - few: Stream(limit, few, device, small) for limit in limits}
    live = {count: Stream(most, count, device, small) for count in lives}
    return {
        f"dead memories, beside {few} alive": (0.1, {n: s.both_ways(s.of_live) for n, s in dead.items()}),
        f"live memories, of {most:,}": (1.1, {n: s.both_ways(s.of_live) for n, s in live.items()}),
    }


ROWS = [
    attention(1024, False, 5, 3.3),
    attention(1024, True, 4.5, 3.3),
    attention(4096, False, 12, 7),
    attention(4096, True, 11, 7),
    attention(16384, False, 17, 11),
    attention(16384, True, 15, 11),
    kept_keys(4096),
    long_stream(500, 1024),
]
