"""The transformer of Expire-Span in the layout and by the conventions of its public code, as plain as can be.

Written from the equations of the paper (2105.06548, equations 3 to 7) and from what is known of the code's
conventions, query by query: softmax over the memories with m > 0, times m, over the sum. Weights by name:

    embed (V, d) · positions (d / heads, M), column M − s for the age s · out.weight (V, d), out.bias (V,)
    l.q, l.k, l.v, l.o (d, d) · l.span.weight (1, d), l.span.bias (1,)
    l.ff1.weight (f, d), l.ff1.bias · l.ff2.weight (d, f), l.ff2.bias · l.norm1.weight, …, l.norm2.bias
"""

from dataclasses import dataclass, field

import torch


def naive_weights(seed, *, vocabulary=11, width=8, heads=2, inner=12, layers=2, block=5, share=0.3):
    """Draw weights of which none is special, norms and zero biases included."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return (scale * torch.randn(*shape, generator=draw, dtype=torch.float64)).requires_grad_()

    p = {
        "embed": normal(vocabulary, width),
        "positions": normal(width // heads, block),
        "out.weight": normal(vocabulary, width, scale=0.5),
        "out.bias": normal(vocabulary),
    }
    for layer in range(layers):
        p |= {f"{layer}.{name}": normal(width, width, scale=0.5) for name in "qkvo"}
        p[f"{layer}.span.weight"] = normal(1, width, scale=0.6)
        p[f"{layer}.span.bias"] = torch.full((1,), share, dtype=torch.float64).logit().requires_grad_()
        for name, shape in {"ff1": (inner, width), "ff2": (width, inner)}.items():
            p[f"{layer}.{name}.weight"] = normal(*shape, scale=0.4)
            p[f"{layer}.{name}.bias"] = normal(shape[0], scale=0.2)
        for name in ("norm1", "norm2"):
            p[f"{layer}.{name}.weight"] = (1 + 0.2 * normal(width).detach()).requires_grad_()
            p[f"{layer}.{name}.bias"] = normal(width, scale=0.2)
    return p


@dataclass
class Naive:
    """A model of such weights, read in blocks of as many steps as a chunk has."""

    p: dict
    heads: int = 2
    layers: int = 2
    max_span: float = 20
    ramp: int = 4
    block: int = 5  # of positions, of zero vectors, and the rule by which memories are dropped
    pre_norm: bool = False
    pre_divide: float = 1.0
    alpha: float = 0.0
    tiny: float = 0.0  # 1e-8 in the public code
    drops: bool = True
    seen: list = field(default_factory=list)  # of every query: how many memories have m > 0

    def start(self, batch):
        zero = self.p["embed"].new_zeros(batch, self.block, self.p["embed"].shape[1])
        counter = torch.arange(self.block, 0, -1).expand(batch, -1)
        return [(zero, counter) for _ in range(self.layers)]

    def normed(self, name, x):
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / scale * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def spans(self, layer, h):
        w, b = self.p[f"{layer}.span.weight"], self.p[f"{layer}.span.bias"]
        return self.max_span / (1 + torch.exp(-(h / self.pre_divide @ w[0] + b)))

    def attention(self, layer, h, memories, counter, u):
        """Return what the queries of `h` answer, and the charge; the last memories are those of `h`."""
        p, (batch, steps, width) = self.p, h.shape
        span = self.spans(layer, memories)
        if u is not None:
            span = torch.minimum(span, torch.tensor(u * self.max_span))
        answers, charge, seen = [], h.new_zeros(()), []
        for t in range(steps):
            age = counter + t
            r = span - age
            m = (1 + r / self.ramp).clamp(0, 1) * (age >= 1)
            charge = charge + (r * ((m > 0) & (m < 1))).sum()
            seen.append((m > 0).sum(-1))
            heads = []
            for one in range(self.heads):
                rows = slice(one * width // self.heads, (one + 1) * width // self.heads)
                q = h[:, t] @ p[f"{layer}.q"][rows].T
                k, v = memories @ p[f"{layer}.k"][rows].T, memories @ p[f"{layer}.v"][rows].T
                column = (self.block - age).clamp(0, self.block - 1)
                place = (p["positions"].T[column] * q[:, None]).sum(-1) * ((age >= 1) & (age <= self.block))
                score = ((k * q[:, None]).sum(-1) + place) / (width // self.heads) ** 0.5
                a = score.masked_fill(m == 0, -torch.inf).softmax(-1) * m
                a = a / (a.sum(-1, keepdim=True) + self.tiny)
                heads.append((a[..., None] * v).sum(1))
            answers.append(torch.cat(heads, -1) @ p[f"{layer}.o"].T)
        self.seen.append(torch.stack(seen, 1))
        return torch.stack(answers, 1), self.alpha / (self.ramp * steps) * charge / batch

    def layer(self, layer, x, state, u):
        """Return the output of one layer to a block, its charge, and what it keeps."""
        kept, counter = state
        raw = torch.cat([kept, x], 1)
        counter = torch.cat([counter, -torch.arange(x.shape[1]).expand(len(x), -1)], 1)
        read = self.normed(f"{layer}.norm1", raw) if self.pre_norm else raw
        a, charge = self.attention(layer, read[:, kept.shape[1] :], read, counter, u)
        z = x + a if self.pre_norm else self.normed(f"{layer}.norm1", x + a)
        f = self.normed(f"{layer}.norm2", z) if self.pre_norm else z
        p = self.p
        f = torch.relu(f @ p[f"{layer}.ff1.weight"].T + p[f"{layer}.ff1.bias"])
        f = f @ p[f"{layer}.ff2.weight"].T + p[f"{layer}.ff2.bias"]
        y = z + f if self.pre_norm else self.normed(f"{layer}.norm2", z + f)
        keep = self.survivors(self.spans(layer, read).detach(), counter, x.shape[1])
        raw = raw.detach().gather(1, keep[..., None].expand(-1, -1, raw.shape[2]))
        return y, charge, (raw, counter.gather(1, keep) + x.shape[1])

    def survivors(self, span, counter, steps):
        """Return which memories stay: a multiple of the block is dropped, as many in every row."""
        alive = span - counter + self.ramp - steps > 0
        alive[:, -steps:] = True
        drop = int((~alive).sum(1).min()) // self.block * self.block if self.drops else 0
        rows = []
        for row in alive:
            dead = set((~row).nonzero()[:drop, 0].tolist())
            rows.append([i for i in range(len(row)) if i not in dead])
        return torch.tensor(rows)

    def run(self, tokens, state=None, u=None):
        """Return logits of a block, the charge of all layers, and what each layer keeps."""
        state = self.start(len(tokens)) if state is None else state
        x, charges, after = self.p["embed"][tokens], 0.0, []
        for layer in range(self.layers):
            x, charge, kept = self.layer(layer, x, state[layer], u)
            charges = charges + charge
            after.append(kept)
        return x @ self.p["out.weight"].T + self.p["out.bias"], charges, after
