"""Audit of the perturbation error of IAT (2305.19190) and StableSSM (2311.14495): definition and logs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit._table import Row, both_ways, over_draws, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.stability import worst_case_curve, worst_case_error
from curse_of_memory.tools import checks

__all__ = ["data", "plot", "public_noise"]

BETAS = 1e-3 * 2 ** (np.arange(21) / 2)  # the radii of the logs
AT = 0.032  # where the rows are read off; one of the radii
MAP = "softplus"
PRINTED_DRAWS, LOGGED_DRAWS = 3, 30
TENSOR = 64  # rows and columns of a weight, for the size of its noise
INSIDE = TemporallyWeightedMSE(2, form="inside_square")


def public_noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return noise as the public code draws it for one weight: normal, its largest entry of size one.

    Examples
    --------
    >>> float(np.abs(public_noise((3, 3), seed=0)).max())
    1.0
    """
    noise = np.random.default_rng(seed).standard_normal(shape)
    return noise / np.abs(noise).max()


def slowed_error(model: RNN, task: LinearFunctional, beta: float) -> float:
    """Return the rms error after w − β for every recurrent weight w: the noise of the SSM branches.

    The branches of the code for SSMs subtract β from each entry, in no random direction. For softplus, in the
    code and here, smaller w are slower modes.
    """
    weights = dict(model.named_parameters())
    moved = weights | {"recurrent_weight": weights["recurrent_weight"] - beta}
    with torch.no_grad():
        return float(TemporallyWeightedMSE().expected(**task.linear_error(model, moved)).sqrt())


@figure_data(
    title="Audit: the perturbation error",
    source="Inverse approximation theory (2305.19190) and StableSSM (2311.14495): definition, code and logs",
)
def data(
    *,
    width: int = 6,
    horizon: int = 100,
    draws: int = 30,
    budget: int = 20,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Perturb the best linear RNN of `width` modes for (1 + t/10)^−1.1, by definition and as the code.

    The panel *error* has root-mean-square errors for weights within β: their supremum over models that stay
    diagonal, |δw|_∞ <= β, bracketed with at most `budget` boxes; the largest of `draws` random directions in
    that ball, in the ball of the code, with the loss weight t⁴, and with both; and the error with −β on every
    recurrent weight alone. The panel *logs* has one run of the authors: the largest error at a radius, and
    what is logged. Columns: ``panel, curve, beta, error``.
    """
    checks.positive_int("draws", draws)
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    fit = fit_exponential_sum(task.rho, terms=width, weight=bias.power(0))
    model = RNN.from_exponential_sum(rates=fit.rates, coefficients=fit.coefficients, parameterization=MAP)
    certified = worst_case_curve(
        fit,
        task.rho,
        BETAS,
        MAP,
        "expected",
        horizon=horizon,
        step="euler",
        budget=budget,
        draws=draws,
        seed=seed,
    )
    ways = {
        "random directions": ("spectral", None),
        "largest entry": ("public_code", None),
        "loss weight $t^4$": ("spectral", INSIDE),
        "largest entry and $t^4$": ("public_code", INSIDE),
    }
    curves = {"supremum": certified.lower.values, "certified bound": certified.upper.values}
    radii = BETAS.tolist()
    for name, (ball, loss) in ways.items():
        drawn = perturbation_curve(
            model, task, radii, draws=draws, ball=ball, loss=loss, seed=seed, device=device
        )
        curves[name] = np.sqrt(drawn.error.values)
    few = perturbation_curve(model, task, radii, draws=PRINTED_DRAWS, seed=seed, device=device)
    curves[f"{PRINTED_DRAWS} random directions"] = np.sqrt(few.error.values)
    curves[r"$-\beta$ on $w$"] = np.array([slowed_error(model, task, beta) for beta in radii])
    logs = reference("inverse_approximation/running_maximum")
    logged = logs.loc[logs.beta > 0]
    tables = [
        pd.DataFrame({"panel": "error", "curve": k, "beta": BETAS, "error": v}) for k, v in curves.items()
    ]
    for name, errors in (("at the radius", logged.largest), ("as logged", logged.error)):
        tables.append(pd.DataFrame({"panel": "logs", "curve": name, "beta": logged.beta, "error": errors}))
    disagreements = _rows(fit, task, curves, logs, draws, budget, seed)
    seen, all_of_it = curves["random directions"] / curves["supremum"], curves["largest entry and $t^4$"]
    message = (
        f"{draws} random directions see {seen.min():.0%} to {seen.max():.0%} of the supremum; the code's "
        f"ball and loss weight change their error by factors from "
        f"{(all_of_it / curves['random directions']).min():.2g} to "
        f"{(all_of_it / curves['random directions']).max():.2g}."
    )
    return Findings(
        pd.concat(tables, ignore_index=True),
        message,
        both_ways(disagreements),
        printed=printed(disagreements),
        spread=over_draws(disagreements),
    )


def _rows(
    fit: ExponentialSum,
    task: LinearFunctional,
    curves: Mapping[str, np.ndarray],
    logs: pd.DataFrame,
    draws: int,
    budget: int,
    seed: int,
) -> list[Row]:
    """Return the rows on the loss, its norm, the ball, the directions in it, and the running maximum."""
    at = int(np.argmin(np.abs(BETAS - AT)))
    here = {name: float(values[at]) for name, values in curves.items()}

    def worst(norm: str, perturbed: str = "all") -> float:
        return worst_case_error(
            fit,
            task.rho,
            float(BETAS[at]),
            MAP,
            norm,
            horizon=task.horizon,
            step="euler",
            budget=budget,
            seed=seed,
            perturbed=perturbed,
        ).lower

    noises = [public_noise((TENSOR, TENSOR), seed + draw) for draw in range(LOGGED_DRAWS)]
    sizes = [float(np.linalg.norm(noise, 2)) for noise in noises]
    jump = logs.loc[(logs.error / logs.largest).idxmax()]
    error, ball = f"E(β), β = {BETAS[at]:g}", "$\\max_i\\lvert\\tilde W_i-W_i\\rvert_2\\leq\\beta$"
    drawn = f"{error}, {draws} draws"
    directions = "supremum over the ball"
    return [
        Row("loss", "no weight", "code: $t^4$", drawn, here["random directions"], here["loss weight $t^4$"]),
        Row(
            "norm of the error",
            r"$W^{1,\infty}$, with derivative",
            "code: without",
            f"{error}, supremum over inputs",
            worst("w1"),
            worst("l1"),
        ),
        Row(
            "norm of the error",
            "supremum over inputs",
            "code: mean square, white inputs",
            f"{error}, without derivative",
            worst("l1"),
            here["supremum"],
        ),
        Row("ball", ball, "code: largest entry", drawn, here["random directions"], here["largest entry"]),
        Row(
            "ball",
            ball,
            "code: largest entry",
            f"|ΔW|₂/β of {TENSOR} × {TENSOR} noise",
            1.0,
            float(np.mean(sizes)),
            draws=sizes,
        ),
        Row(
            "directions",
            directions,
            f"code: {draws} draws",
            f"{error}, and of {draws} draws",
            here["supremum"],
            here["random directions"],
        ),
        Row(
            "directions",
            directions,
            f"paper's figures: {PRINTED_DRAWS} draws",
            f"{error}, and of {PRINTED_DRAWS} draws",
            here["supremum"],
            here[f"{PRINTED_DRAWS} random directions"],
        ),
        Row(
            "recurrent weight alone",
            directions,
            r"branches: $w-\beta$",
            error,
            worst("expected", perturbed="rates"),
            here[r"$-\beta$ on $w$"],
        ),
        Row(
            "maximum over β",
            "not said; a supremum never falls",
            "logs: running over smaller β",
            f"largest draw at β = {jump.beta:.3g}, and as logged",
            float(jump.largest),
            float(jump.error),
        ),
    ]


def plot(data: FigureData) -> Figure:
    """Draw errors, their ratio to the supremum, and a log with and without running maximum."""
    curves = groups(rows(data.table, panel="error"), "curve")
    bounds = ("supremum", "certified bound")
    names = [name for name in curves if name not in bounds]
    with plotting.style():
        figure, (errors, ratios, logs) = plotting.canvas(3, width=13.5, height=4.7)
        supremum = curves["supremum"]
        plotting.theory(errors, supremum.beta, supremum.error, label=r"supremum, diagonal $\Delta W$")
        ratios.axhline(1.0, color=plotting.INK)
        largest = supremum.error.to_numpy()
        bound = curves["certified bound"].error.to_numpy() / largest
        label = "up to its certified bound"
        plotting.band(ratios, supremum.beta, 1, bound, "0.75", alpha=None, label=label)
        for name, look in plotting.looks(names).items():
            x, error = curves[name].beta, curves[name].error.to_numpy()
            plotting.measured(errors, x, error, look, joined=":", ms=4, lw=1, label=name)
            plotting.measured(ratios, x, error / largest, look, joined=":", ms=4)
        beta = r"perturbation $\beta$ of the weights"
        errors.set(
            xscale="log",
            yscale="log",
            xlabel=beta,
            ylabel="rms error",
            title=f"One model, $m={data.parameters['width']}$, softplus",
        )
        ratios.set(
            xscale="log",
            ylim=(0, None),
            xlabel=beta,
            ylabel="error / supremum",
            title="Share of the supremum",
        )
        _draw_logs(logs, rows(data.table, panel="logs"))
        plotting.joined_legend(figure, [errors, ratios], ncols=4)
    return figure


def _draw_logs(axis: Axes, curves: pd.DataFrame) -> None:
    logs = groups(curves, "curve")
    for name, look in plotting.looks(logs).items():
        log = logs[name]
        plotting.measured(axis, log.beta, log.error, look, joined="-", lw=1, ms=4, label=name)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel=r"perturbation $\beta$ of the weights",
        ylabel="test loss, largest of 30 draws",
        title="Authors' logs: hardtanh SSM, $m=32$",
    )
    axis.legend(loc="lower right")
