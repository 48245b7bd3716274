"""The audit of what LEM's public code tests: every number against one from elsewhere."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.audit import what_is_tested as audit
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import available
from curse_of_memory.tasks.keywords import listed_shares


@pytest.fixture(scope="module")
def found():
    return audit.data(series=16, data="stand-in", device="cpu")


def both(found, quantity):
    (row,) = (row for _, row in found.printed.iterrows() if quantity in row.number)
    return row["read plainly"], row["as in the code"]


def test_facts_of_test_sets(found):
    assert both(found, "one series is worth") == ("0.3861", "2.564")  # 100/259 and 100/39
    assert both(found, "test accuracy") == ("92.3", "97.44")
    assert both(found, "of always saying unknown") == ("0.08333", "0.6298")  # 6931 of 11 005 clips
    assert both(found, "share of silence") == ("0.08333", "0")


def test_counts_are_those_of_the_lists_where_they_are():
    counts = reference("lem/keyword_counts").set_index("label")
    assert counts.sum().tolist() == [9981, 11005]
    if not available("speech_commands"):
        pytest.skip("the lists of the keywords are not here")
    for part in ("validation", "test"):
        shares = listed_shares(part)
        assert list(shares) == list(counts.index)
        np.testing.assert_allclose(list(shares.values()), counts[part] / counts[part].sum(), rtol=1e-12)


def test_where_patients_are_apart_no_window_has_a_neighbour(found):
    assert both(found, "3 s beside")[0] == "0"
    apart = {both(found, f"without a wave: {name} ")[0] for name in audit.ANSWERS}
    assert len(apart) == 1  # nothing is known of a patient but the mean of others


def test_one_noise_for_all_images_has_no_variance(found):
    fresh, fixed = both(found, "variance over images")
    assert fixed == "0"
    assert float(fresh) == pytest.approx(1, abs=0.1)  # over 100 · 8 · 96 numbers it is off by 0.005


def test_what_fills_a_short_clip_is_the_least_or_the_most(found):
    """Of 126 frames half are of noise, in a band of some dB below the loudest; the rest are one value."""
    quiet, loud = (float(number) for number in both(found, "frames that fill"))
    assert quiet < -0.9 < 0.5 < loud


def test_the_logged_run_is_told_by_its_log(found):
    log = reference("lem/fitzhugh_nagumo_log").valid_rmse
    assert both(found, "the logged run") == (f"{log.iloc[399]:.4g}", f"{log.min():.4g}")


def test_the_other_network_is_lem_but_for_the_z_that_its_goal_reads():
    """With the new z it is LEM to rounding; where y reads no z at all, so is what it is."""
    layer = LEM(5, dt=0.3, input_size=2, output_size=None, seed=1, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 20, 2)))
    with torch.no_grad():
        assert (audit.other_network(layer, x) - layer(x)).abs().max() > 1e-3
        layer.network.direction(0).recurrent_weight[15:] = 0
        torch.testing.assert_close(audit.other_network(layer, x), layer(x), rtol=0, atol=1e-14)


def test_of_one_step_it_differs_by_the_goal_alone():
    layer = LEM(5, dt=0.3, input_size=2, output_size=None, seed=1, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 1, 2)))
    cell = layer.network.direction(0)
    with torch.no_grad():
        u = x[:, 0] @ cell.input_weight.mT + cell.input_bias + cell.recurrent_bias
        expected = 0.3 * torch.sigmoid(u[:, :5]) * torch.tanh(u[:, 15:])  # the old z is zero
        torch.testing.assert_close(audit.other_network(layer, x)[:, 0], expected, rtol=1e-14, atol=0)


def test_the_picture_and_bad_input(found):
    figure = audit.plot(found)
    assert [axis.get_title(loc="left")[:3] for axis in figure.axes] == ["(a)", "(b)", "(c)"]
    with pytest.raises(ValueError, match="series must be a multiple of 8, got 12"):
        audit.data(series=12, data="stand-in")
