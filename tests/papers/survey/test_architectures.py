"""The comparison of architectures against singular values, exact forms and certificates of the library."""

import numpy as np
import pytest

from curse_of_memory.papers.survey import architectures as survey
from curse_of_memory.theory.exponential_sums.lower_bounds import weighted_lower_bound


@pytest.fixture(scope="module")
def data():
    return survey.data(half=16, widths=(1, 2, 3, 4))


def curves(data, kernel):
    rows = data.table[data.table.kernel == kernel]
    return rows.pivot(index="width", columns="architecture", values="error")


def kernel_of(name, half=16):
    return survey.TWO_TIME_KERNELS[name](np.arange(half)[:, None], np.arange(half + 1)[None], half)


def test_every_architecture_has_every_width(data):
    assert len(data.table) == 4 * 4 * 4
    assert set(data.table.architecture) == set(survey.ARCHITECTURES)
    assert data.table.error.between(0, 1).all()


@pytest.mark.parametrize("kernel", survey.TWO_TIME_KERNELS)
def test_the_encoder_decoder_is_the_singular_values(data, kernel):
    s = np.linalg.svd(kernel_of(kernel), compute_uv=False)
    left_over = [np.linalg.norm(s[m:]) / np.linalg.norm(s) for m in (1, 2, 3, 4)]
    np.testing.assert_allclose(curves(data, kernel)["encoder-decoder"], left_over, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kernel", survey.TWO_TIME_KERNELS)
def test_no_rnn_is_below_the_encoder_decoder_and_none_is_below_the_floor(data, kernel):
    found = curves(data, kernel)
    assert (found["RNN"] >= found["encoder-decoder"] * (1 - 1e-9)).all()
    floor = data.table[data.table.kernel == kernel].floor.iloc[0]
    assert (found[["RNN", "CNN"]] >= floor * (1 - 1e-12)).all(axis=None)
    assert bool(floor > 1e-7) is (kernel == "two patterns")


def test_the_floor_is_the_best_kernel_of_t_plus_s(data):
    """By least squares over the lags, one unknown for each."""
    K = kernel_of("two patterns")
    lags = np.add.outer(np.arange(16), np.arange(17)).ravel()
    design = (lags[:, None] == np.arange(lags.max() + 1)).astype(float)
    rest = K.ravel() - design @ np.linalg.lstsq(design, K.ravel())[0]
    floor = data.table[data.table.kernel == "two patterns"].floor.iloc[0]
    assert floor == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(K), rel=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_certificates_of_the_library_are_below_the_fits(data, m):
    lags = np.add.outer(np.arange(16), np.arange(17)).ravel()
    values = 1 / np.cosh(np.arange(32) / 8)
    bound = weighted_lower_bound(values, m, np.bincount(lags).astype(float)).bound
    found = curves(data, "exponential decay")["RNN"][m]
    assert bound <= found <= 20 * bound


@pytest.mark.parametrize("kernel", survey.TWO_TIME_KERNELS)
def test_errors_do_not_grow_with_the_width(data, kernel):
    assert (curves(data, kernel).diff().dropna() <= 1e-14).all(axis=None)


def test_who_approximates_what(data):
    needed = survey.enough(data.table)
    assert (needed.loc["exponential decay"] <= 2).all()
    assert needed.loc["delayed spike", "CNN"] == needed.loc["digit product", "CNN"] == 1
    assert needed.loc["delayed spike", "attention"] == 2
    assert needed.loc["two patterns", "encoder-decoder"] == 2
    assert needed.loc[["delayed spike", "digit product"], ["RNN", "encoder-decoder"]].isna().all(axis=None)
    assert needed.loc["two patterns", ["RNN", "CNN"]].isna().all()


def test_the_error_of_a_spike_is_a_closed_form(data):
    """K is a permutation: all singular values are one, and m of them are a share √(1 − m/T) of nothing."""
    found = curves(data, "delayed spike")["encoder-decoder"]
    np.testing.assert_allclose(found, np.sqrt(1 - np.arange(1, 5) / 16), rtol=1e-12)


def test_the_derivative_of_a_head_is_that_of_differences():
    K, qk = kernel_of("exponential decay"), np.random.default_rng(0).standard_normal((33, 3))
    _, slope = survey.head_loss(K, qk)
    for i, j in [(0, 0), (7, 2), (16, 1), (32, 0)]:
        step = np.zeros_like(qk)
        step[i, j] = 1e-6
        ahead, behind = (survey.head_loss(K, qk + sign * step)[0] for sign in (1, -1))
        # central differences: 1e-12 of the third derivative and rounding over 1e-6
        assert slope[i, j] == pytest.approx((ahead - behind) / 2e-6, rel=1e-6, abs=1e-9)


def test_attention_of_width_one_holds_an_exponential():
    """e^{−λ(t+s)} = g_t softmax_s(−λ s): the descent has to find nothing."""
    K = np.exp(-0.2 * np.add.outer(np.arange(16), np.arange(17)))
    assert survey.attention_errors(K, [1], 0)[1] < 1e-6


def test_attention_scores_of_rank_two_hold_every_shift():
    """−β(s − (T − 1 − t))² tends to a spike with an error of about √2 e^{−β}: below the start's, β = 10."""
    assert survey.attention_errors(kernel_of("delayed spike"), [2], 0)[2] < 2**0.5 * np.exp(-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"half": 12}, "half must be 4, 8, 16"),
        ({"half": 2}, "half must be 4, 8, 16"),
        ({"widths": (0, 1)}, "widths must be at least 1"),
        ({"half": 4, "widths": (5,)}, "widths must be at most half = 4, got 5"),
        ({"kernels": ("delayed spikes",)}, "did you mean 'delayed spike'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        survey.data(**arguments)


def test_pictures_are_drawn_of_much_and_of_little(data):
    assert len(survey.plot(data).axes) == 4
    little = survey.data(half=4, widths=(1,), kernels=("delayed spike",))
    assert len(survey.plot(little).axes) == 1
