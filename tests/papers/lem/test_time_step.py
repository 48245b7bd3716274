"""Results by the time step: what is trained, which step is the best, and what is known without training."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem import time_step
from curse_of_memory.tasks import LinearFunctional


@pytest.fixture(scope="module")
def found():
    return time_step.data(
        lengths=(6, 3), dts=(1.0, 0.1), width=4, steps=5, samples=40, batch_size=8, seeds=2, device="cpu"
    )


def test_every_step_of_every_length_is_in_the_table(found):
    table = found.table
    assert list(table.columns) == ["horizon", "dt", "seed", "error"]
    seeds = table.groupby(["horizon", "dt"]).seed.apply(list).to_dict()
    assert seeds == {(N, dt): [0, 1] for N in (3, 6) for dt in (0.1, 1.0)}
    assert len(table) == 8
    assert table.error.between(0, 5).all()


def test_the_task_is_to_say_the_first_number():
    x, y = LinearFunctional(np.eye(7)[-1], 7).sample(5, seed=0, dtype=torch.float64)
    torch.testing.assert_close(y[:, -1], x[:, 0], rtol=0, atol=1e-12)


def test_a_good_step_learns_to_recall_and_a_small_one_has_not_yet():
    sizes = {"width": 8, "learning_rate": 0.02, "batch_size": 32, "steps": 150, "samples": 200}
    good, small = (time_step._recall(6, dt, 0, **sizes, device="cpu")["error"] for dt in (1.0, 0.003))
    assert good < 0.3 < 0.7 < small


@pytest.mark.parametrize("dt", [0.3, 0.03])
def test_an_untrained_net_forgets_by_the_product_of_steps_and_their_size(dt):
    """Without recurrent weights the gates are open by half: y keeps (1 − dt/2)^N of its start."""
    layer = LEM(3, dt=dt, output_size=None, seed=0, dtype=torch.float64)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
    steps = round(6 / dt)
    kept = layer.run(torch.zeros(1, steps, 1).double(), torch.ones(1, 6).double()).last
    torch.testing.assert_close(
        kept, torch.full((1, 6), (1 - dt / 2) ** steps, dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert float(kept[0, 0].detach()) == pytest.approx(math.exp(-3), rel=0.5 * dt * 3)


def test_the_best_step_is_the_one_of_the_least_median():
    errors = {
        (10, 1.0): (0.5, 0.9, 0.7),
        (10, 0.1): (0.2, 0.3, 0.9),
        (100, 1.0): (1, 1, 1),
        (100, 0.1): (0.6, 0.6, 0.6),
    }
    table = pd.DataFrame(
        [(N, dt, k, e) for (N, dt), es in errors.items() for k, e in enumerate(es)],
        columns=["horizon", "dt", "seed", "error"],
    )
    found = time_step._findings(table)
    assert found.headline["N = 10: the best dt"] == 0.1
    assert found.headline["N = 100: the best N dt"] == 10
    assert found.headline["N = 10: error with the best dt"] == 0.3
    assert found.headline["N = 10: error with dt = 1"] == 0.7
    spread = found.spread["N = 10: error with the best dt"]
    assert (spread.low, spread.high, spread.runs) == (0.2, 0.9, 3)
    assert "N = 100: dt = 0.1, N dt = 10, error 0.6" in found.message
    assert "smaller steps" not in found.message
    table.loc[(table.horizon == 10) & (table.dt == 1.0), "error"] = 0.1
    assert "Longer sequences want smaller steps" in time_step._findings(table).message


def test_the_settings_of_the_public_code_go_from_3_to_1000():
    products = [count * dt for count, dt in time_step.PUBLIC_SETTINGS.values()]
    assert (round(min(products)), round(max(products))) == (3, 1000)
    assert (
        "from 3 to 1000"
        in time_step._findings(
            pd.DataFrame({"horizon": [5], "dt": [1.0], "seed": [0], "error": [0.5]})
        ).message
    )


def test_both_panels_have_all_lengths(found):
    left, right = time_step.plot(found).axes
    assert {"$N=3$", "$N=6$", "without memory"} <= set(left.get_legend_handles_labels()[1])
    by_dt, by_product = (np.asarray(axis.get_lines()[0].get_xdata(), dtype=float) for axis in (left, right))
    np.testing.assert_allclose(by_product, 3 * by_dt)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="dt must"):
        time_step.data(lengths=(3,), dts=(2.0,), steps=1, device="cpu")
