"""Rows of linear networks: the exact training step, perturbed errors, a whole width sweep."""

import numpy as np
import torch

from benchmarks import peers_jax, plain
from benchmarks.fits import anew
from benchmarks.peers import Numbers, Peer
from benchmarks.rows import Case, Row
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.training import fit
from curse_of_memory.training.exact.expected_loss import ExpectedLoss

DOUBLE = torch.float64
HORIZON = 100
ENOUGH = 5  # terms, for a loss below those of sampled training
WHY = "; 2 radii, of 21; most of the time is the loop itself, and a large part of that is σ"
NAMES = ("recurrent_weight", "input_weight", "bias", "output_weight")


def polynomial_task(horizon: int = HORIZON) -> LinearFunctional:
    """Return the task of all rows here: the memory (1 + t)^−1.1."""
    return LinearFunctional(lambda t: (1 + t) ** -1.1, horizon)


def weights_of(model: RNN) -> list[torch.Tensor]:
    """Return W, U, b, C in the order of the plain ways."""
    return [model.get_parameter(name) for name in NAMES]


def impulses(horizon: int, device: str) -> torch.Tensor:
    """Return inputs of mean zero and covariance one: a mean over them is the expectation over white noise."""
    eye = horizon**0.5 * torch.eye(horizon, dtype=DOUBLE, device=device)
    return torch.cat([eye, -eye])[..., None]


def training_step(width: int, diagonal: bool) -> Row:
    """Exact value and gradient against those of one sampled batch, which lies ready."""

    def make(device: str, small: bool) -> Case:
        m, T, B = (3, 12, 8) if small else (width, HORIZON, 512)
        task, loss = polynomial_task(T), TemporallyWeightedMSE()
        model = RNN(m, diagonal=diagonal, seed=0, dtype=DOUBLE, device=device)
        torch.nn.init.constant_(model.get_parameter("bias"), 0.1)
        parameters = weights_of(model)

        def run(x, W, U, b, C):
            return plain.rnn(x, W, U, b, C, lambda a: a, diagonal=diagonal)

        # what a training loop prepares once, as the plain way has its batch
        exact = ExpectedLoss(model, task, loss)
        theta = exact.start

        def fast():
            return exact.value_and_gradient(theta)

        def by_torch():
            value = loss.expected(**task.linear_error(model))
            return [value.detach(), *torch.autograd.grad(value, parameters)]

        def ours():
            value, gradient = fast()
            by_name = exact.by_name(gradient)
            found = [np.array(value), *(by_name[name] for name in NAMES)]
            return [torch.from_numpy(f).to(device) for f in found]

        def agree():
            x = impulses(T, device)
            return plain.training_step(run, parameters, x, task.answer(x[..., 0])[..., None]), ours()

        def of_batch():
            return plain.training_step(run, parameters, x, y)

        x, y = task.sample(B, seed=0, dtype=DOUBLE, device=device)
        rho = task.answer(torch.eye(1, T, dtype=DOUBLE, device=device))[0]
        sampled = peers_jax.graded(
            device,
            lambda engine: peers_jax.squared_error(engine, "linear", diagonal=diagonal),
            parameters,
            [x, y],
            of_batch,
        )
        same_loss = peers_jax.graded(
            device, lambda engine: peers_jax.exact_loss(engine, diagonal), parameters, [rho], ours
        )
        work = 3 * T * m * (1 if diagonal else m)
        return Case(
            plain=of_batch,
            fast=fast,
            agree=agree,
            flops=2 * work,
            others={"loss.expected and torch's autograd": by_torch},
            peers={peers_jax.SCAN: sampled, peers_jax.EXACT: same_loss},
            note="the sampled step has its batch for nothing, ours its ExpectedLoss: a training loop makes "
            "that once" + ("" if device == "cpu" else "; ours is on the CPU"),
        )

    kind = "diagonal" if diagonal else "dense"
    name = f"linear RNN training step, {kind}, B 512, T 100, m {width}"
    return Row(name, "eager time loop, sampled batch", 300, make)


def perturbed(activation: str, goal: float) -> Row:
    """E_m(β) by ``perturbation_curve`` against one eager evaluation per draw."""

    def make(device: str, small: bool) -> Case:
        linear = activation == "linear"
        m, T, N = (3, 12, 24) if small else (16, HORIZON, 12_800)
        # a linear curve is fast enough to be drawn whole; of a nonlinear one two radii are timed
        radii, draws = (2, 3) if small else (21, 30) if linear else (2, 30)
        betas = torch.linspace(0.01, 0.2, radii).tolist()
        task = polynomial_task(T)
        model = RNN(m, activation=activation, diagonal=True, seed=0, dtype=DOUBLE, device=device)
        parameters = [p.detach() for p in weights_of(model)]
        x, y = task.sample(N, seed=(0, 4, N), dtype=DOUBLE, device=device)
        sigma = {"linear": lambda a: a, "tanh": torch.tanh}[activation]
        noise = [torch.randn_like(p) for p in parameters]
        directions = [d / d.norm() for d in noise]
        # of a linear network the errors on impulses are the exact ones
        inputs = impulses(T, device) if linear else x
        answers = task.answer(inputs[..., 0])[..., None]

        def run(x, W, U, b, C):
            return plain.rnn(x, W, U, b, C, sigma, diagonal=True)

        def fast():
            return perturbation_curve(model, task, betas, draws=draws, samples=N, device=device)

        def agree():
            # at the centre both ways have the same weights
            centre = plain.perturbed_error(run, parameters, directions, 0.0, inputs, answers)
            return [centre.cpu()[None]], at_centre()

        def at_centre():
            found = perturbation_curve(model, task, [0.0], draws=1, samples=N, device=device)
            return [torch.tensor([found.error.item()], dtype=DOUBLE)]

        moved = torch.cat([d.ravel() for d in directions])
        by_jax = peers_jax.perturbed_errors(
            device,
            activation,
            parameters,
            torch.cat([beta * moved.expand(draws, -1) for beta in betas]),
            inputs,
            answers,
            at_centre,
        )
        per_draw = 2 * T * m if linear else 2 * N * T * 3 * m
        return Case(
            plain=lambda: plain.perturbed_error(run, parameters, directions, betas[0], x, y),
            fast=fast,
            agree=agree,
            times=radii * draws,
            flops=radii * draws * per_draw,
            peers={peers_jax.DRAWS: by_jax},
            note=f"plain: one draw timed, times {radii * draws}" + ("" if linear else WHY),
        )

    name = f"E_m(β), {activation} m 16, 21 β x 30 draws, 12 800 sequences of 100"
    return Row(name, "one evaluation per draw, eager", goal, make)


def width_sweep() -> Row:
    """The best exponential sums of all widths against sampled training of each from three seeds."""
    seeds, steps = 3, 1000

    def make(device: str, small: bool) -> Case:
        widths, T, B, updates = ([2], 20, 16, 20) if small else ([8, 16, 32, 64], HORIZON, 512, steps)
        task, loss = polynomial_task(T), TemporallyWeightedMSE()
        models = [RNN(m, diagonal=True, seed=0, dtype=DOUBLE, device=device) for m in widths]
        x, y = task.sample(B, seed=0, dtype=DOUBLE, device=device)

        def exact(model) -> torch.Tensor:
            return loss.expected(**task.linear_error(model)).detach().cpu()

        def padded(sums) -> list[RNN]:
            # a network of m modes holds every sum of fewer terms: the others have coefficient zero
            rates = [np.append(s.rates, np.ones(m - s.rates.size)) for s, m in zip(sums, widths, strict=True)]
            return [
                RNN.from_exponential_sum(
                    rates=r, coefficients=np.append(s.coefficients, np.zeros(r.size - s.coefficients.size))
                )
                for r, s in zip(rates, sums, strict=True)
            ]

        def fits(terms: int):
            anew()
            return fit_exponential_sums(task.rho, terms, weight=bias.power(0).discrete(T))

        def fast():
            enough = fits(min(ENOUGH, *widths))[-1]
            return padded([enough] * len(widths))

        def to_rounding():
            found = fits(min(T // 3, max(widths)))
            return padded([found[min(m, len(found)) - 1] for m in widths])

        def one_step_each():
            for model in models:
                plain.training_step(plain.linear_diagonal, weights_of(model), x, y)

        def agree():
            trained = [RNN(m, diagonal=True, seed=0, dtype=DOUBLE, device=device) for m in widths]
            for model in trained:
                fit(model, task, steps=updates, batch_size=B, seed=0, device=device)
            # what must not be above the plain way's loss: the larger of the two is the plain one
            reached = [exact(model) for model in trained]
            best = [exact(model) for model in fast()]
            return reached, [torch.maximum(b, r) for b, r in zip(best, reached, strict=True)]

        def of_seeds(model) -> Numbers:
            one = plain.training_step(plain.linear_diagonal, weights_of(model), x, y)
            return [part.expand(seeds, *part.shape) for part in one]

        def step_by_jax():
            made = [prepare() for prepare in by_jax]

            def agree():
                pairs = [pair for peer in made if peer.agree for pair in zip(*peer.agree(), strict=True)]
                return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]

            return Peer(lambda: [peer.way() for peer in made], agree, times=updates)

        by_jax = [
            peers_jax.graded(
                device,
                lambda engine: peers_jax.squared_error(engine, "linear", diagonal=True),
                [p.detach().expand(seeds, *p.shape) for p in weights_of(model)],
                [x, y],
                lambda model=model: of_seeds(model),
                models=True,
            )
            for model in models
        ]
        return Case(
            plain=one_step_each,
            fast=fast,
            agree=agree,
            times=updates * seeds,
            others={"the best fit of every width, to rounding,": to_rounding},
            peers={f"{peers_jax.SWEEP}, one step, times {updates}": step_by_jax},
            note=f"plain: one step of each width timed, times {updates} steps and {seeds} seeds, AdamW's own "
            f"time left out; ours: one fit of {ENOUGH} terms, which every width can hold; its loss was below "
            f"that of m 8, 16 and 32 trained so from seed 0, and was compared with no other",
        )

    return Row(
        "whole linear width sweep, m 8, 16, 32, 64, 3 seeds", "sampled training, 1000 steps", 1000, make
    )


ROWS = [
    *(training_step(m, diagonal) for diagonal in (False, True) for m in (8, 16, 64)),
    perturbed("linear", 1000),
    perturbed("tanh", 15),
    width_sweep(),
]
