"""One attention whose spans are those of the theory of their price: trained, and its live memories counted.

Setting.    y_t = Σ_s ρ_s x_{t−s} of white inputs, ρ = e^{−λs}, of which ŷ_t = Σ_s m(s) ρ_s x_{t−s} is kept.
            Attention with equal scores takes the mean Σ m(s) v_{t−s}/Σ m(s). So it reads v_i = e^{λi} x_i,
            and its answer counts Σ m(s) e^{−λt} times; for one span e of all Σ m(s) = e + (R − 1)/2. Then it
            is the setting of the theory, answers and gradients. (Attention to scores −λs would divide by
            Σ m(s) ρ_s, which a readout that does not know the span cannot undo.)
"""

import numpy as np
import torch

from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.nn.forgetting.store import KeptStates
from curse_of_memory.tools.devices import resolve_device

__all__ = ["live_counts", "of_equal_scores", "trained_span"]

ROWS, STEPS, MAX_SPAN = 8, 64, 200  # of a batch, and L
# of descent on (loss + price)/α by the bias b of e = L σ(b), de/db <= 50: a pull of α moves the span by one
# step, and more than three, far from the end, by three
RATE, LARGEST = 4e-4, 150.0


def of_equal_scores(law: ExpireSpan, device: torch.device) -> CausalSelfAttention:
    """Return an attention of one channel that passes values on, with equal scores, in float64."""
    layer = CausalSelfAttention(
        1, bias=False, forgetting=law, sees_itself=False, dtype=torch.float64, device=device
    )
    with torch.no_grad():
        layer.project.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        layer.out.weight.fill_(1.0)
    return layer.requires_grad_(False)


def trained_span(
    alpha: float, *, rate: float, ramp: int, start: float, updates: int, seed: int, device: str
) -> float:
    """Return the span that one attention learns at the price α, the mean over the last third of its updates.

    Parameters
    ----------
    alpha : float
        α, per step of span, in units of the variance of inputs.
    rate : float
        λ.
    ramp : int
        R, in steps.
    start : float
        Of the span, in steps.
    updates : int
        Of descent, on new inputs each, with rates that fall along a cosine; of the bias of the span alone.
    seed : int
        Names the inputs.
    device : str
        Where.
    """
    place = resolve_device(device)
    layer = of_equal_scores(ExpireSpan(MAX_SPAN, ramp, initial_share=start / MAX_SPAN, price=alpha), place)
    law = layer.forgetting
    assert isinstance(law, ExpireSpan)
    bias = law.predictor.bias.requires_grad_(True)
    descent = torch.optim.SGD([bias], lr=RATE)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(descent, updates)
    past = MAX_SPAN + ramp  # as far back as anything is remembered
    when = torch.arange(-past, STEPS, dtype=torch.float64, device=place)
    rho = torch.exp(-rate * (when[past:, None] - when)).tril(past - 1)  # of the query's lags, 1 and more
    ages = torch.arange(past, 0, -1, device=place).expand(ROWS, past)
    read = torch.full((ROWS,), past, device=place)
    random, spans = np.random.default_rng((seed, 6)), []
    for _ in range(updates):
        x = torch.from_numpy(random.standard_normal((ROWS, past + STEPS))).to(place)
        v = (torch.exp(rate * when) * x)[..., None]
        answer = layer.remember(v[:, past:], KeptStates(v[:, :past], ages, read))
        assert answer.spans is not None
        weights = answer.spans[0, 0] + (ramp - 1) / 2
        remembered = weights * torch.exp(-rate * when[past:]) * answer.y[..., 0]
        loss = (x @ rho.mT - remembered).square().mean() + answer.price
        descent.zero_grad()
        (loss / alpha).backward()
        torch.nn.utils.clip_grad_value_([bias], LARGEST)
        descent.step()
        falls.step()
        spans.append(MAX_SPAN * float(bias.detach().sigmoid()))
    return float(np.mean(spans[-max(updates // 3, 1) :]))


def live_counts(
    mean: float, std: float, *, max_span: int, ramp: int, batch: int, queries: int, seed: int, device: str
) -> np.ndarray:
    """Return how many memories an attention counts at `queries` steps in a row, ``(batch, queries)``.

    Parameters
    ----------
    mean, std : float
        Of w · h + b, with states h ~ N(0, 1): the predictor has the weight `std` and the bias `mean`.
    max_span, ramp : int
        L and R, in steps.
    batch, queries : int
        Rows, and steps that are counted, after L + R others.
    seed : int
        Names the states.
    device : str
        Where.
    """
    place = resolve_device(device)
    layer = of_equal_scores(ExpireSpan(max_span, ramp), place)
    assert isinstance(layer.forgetting, ExpireSpan)
    with torch.no_grad():
        layer.forgetting.predictor.weight.fill_(std)
        layer.forgetting.predictor.bias.fill_(mean)
        h = np.random.default_rng((seed, 7)).standard_normal((batch, max_span + ramp + queries, 1))
        return layer.remember(torch.from_numpy(h).to(place)).live[:, -queries:].cpu().numpy()
