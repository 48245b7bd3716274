"""Tensor trains: closed forms of their ranks, the bound of Eckart and Young, and the networks they are."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn import TCN, CausalConvolution
from curse_of_memory.theory.tensor_trains import TensorTrain, fit_tensor_train, ranks

EPS = float(np.finfo(float).eps)
S = np.arange(64)


def noise(seed, size=64):
    return np.random.default_rng(seed).standard_normal(size)


def left_over(values, width):
    """The l² error of the best matrix of rank `width`, for every unfolding."""
    unfoldings = [values.reshape(-1, 2**level) for level in range(1, values.size.bit_length() - 1)]
    return np.array([np.linalg.norm(np.linalg.svd(m, compute_uv=False)[width:]) for m in unfoldings])


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        (0.9**S, 1),
        ((S == 31) * 1.0, 1),
        (0.5 ** np.bitwise_count(S), 1),
        (np.cos(0.3 * S + 0.1), 2),
        (0.9**S + 0.5**S, 2),
        ((1.0 + S) ** 2, 3),
    ],
    ids=["exponential", "spike", "digit product", "cosine", "two exponentials", "square"],
)
def test_memories_of_known_rank(values, rank):
    """An exponential, and every product over digits, is one product; polynomials have degree plus one."""
    # an outermost unfolding has two rows and so a rank of at most two
    assert ranks(values) == [min(rank, 2), rank, rank, rank, min(rank, 2)]
    # eight terms at most are summed in each of six products
    assert fit_tensor_train(values, rank).error < 64 * EPS
    if rank > 1:
        assert fit_tensor_train(values, rank - 1).error > 1e-5


def test_eight_channels_hold_every_memory_of_64_lags():
    """An unfolding has at most eight rows or columns."""
    assert ranks(noise(0)) == [2, 4, 8, 4, 2]
    train = fit_tensor_train(noise(0), 8)
    assert train.width == 8
    assert train.error < 64 * EPS
    np.testing.assert_allclose(train.values(), noise(0), rtol=0, atol=64 * EPS * np.abs(noise(0)).max())


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("seed", range(3))
def test_errors_lie_between_the_bound_and_the_start(seed, width):
    """Eckart and Young below; above, the errors of all truncations together, which are orthogonal."""
    values = noise(seed)
    train = fit_tensor_train(values, width)
    errors = left_over(values, width) / np.linalg.norm(values)
    assert errors.max() * (1 - 1e-12) <= train.error <= np.linalg.norm(errors) * (1 + 1e-12)
    assert train.width <= width
    exact = np.linalg.norm(train.values() - values) / np.linalg.norm(values)
    assert train.error == pytest.approx(exact, rel=1e-12)


def test_a_matrix_is_fitted_as_well_as_can_be():
    """With two digits there is one unfolding: the error is its smaller singular value, exactly."""
    values = noise(3, 4)
    s = np.linalg.svd(values.reshape(2, 2), compute_uv=False)
    assert fit_tensor_train(values, 1).error == pytest.approx(s[1] / np.hypot(*s), rel=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_weights_move_the_fit_to_where_they_are_large(width):
    values, weight = noise(4), np.exp(noise(5))
    plain, weighted = fit_tensor_train(values, width), fit_tensor_train(values, width, weight)

    def error(train):
        return np.sqrt((weight * (train.values() - values) ** 2).sum() / (weight * values**2).sum())

    assert weighted.error == pytest.approx(error(weighted), rel=1e-12)
    assert error(weighted) < error(plain)
    # a product of factors over digits scales the cores: it changes no rank
    scale = np.sqrt(0.9**S)
    scaled = fit_tensor_train(values, width, scale**2)
    assert scaled.error == pytest.approx(fit_tensor_train(values * scale, width).error, rel=1e-3)


def test_the_fit_is_a_stationary_point():
    values, train = noise(6), fit_tensor_train(noise(6), 2)
    least = train.error
    random = np.random.default_rng(0)
    for _ in range(50):
        moved = tuple(c + 1e-4 * random.standard_normal(c.shape) for c in train.cores)
        found = np.linalg.norm(TensorTrain(moved, 0.0).values() - values) / np.linalg.norm(values)
        # the slope is what 1e-6 of gain a sweep leaves, the rest is of second order
        assert found > least - 1e-6


@pytest.mark.parametrize("width", [1, 3])
def test_a_train_is_a_dilated_linear_network(width):
    """Twins: the network with the cores as filters has the train as its memory."""
    train = fit_tensor_train(noise(7), width)
    model = TCN(
        [width] * 6,
        2,
        convolutions=1,
        residual=False,
        activation="linear",
        bias=False,
        dtype=torch.float64,
    )
    assert model.receptive_field == 64
    with torch.no_grad():
        model.readout.weight.zero_()
        model.readout.weight[0, 0] = 1
        convolutions = [layer for layer in model.blocks.modules() if isinstance(layer, CausalConvolution)]
        for layer, core in zip(convolutions, train.cores, strict=True):
            weight = layer.weight.zero_()
            above, _, below = core.shape
            weight[:above, :below] = torch.from_numpy(core.swapaxes(1, 2))
    kernel = model.kernel(64).flatten().detach().numpy()
    np.testing.assert_allclose(kernel, train.values(), rtol=0, atol=64 * EPS * np.abs(train.values()).max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": noise(0, 48)}, "values must be 4, 8, 16, ... numbers, got 48"),
        ({"values": noise(0, 2)}, "values must be 4, 8, 16, ... numbers, got 2"),
        ({"values": np.zeros(8)}, "values must not all be zero"),
        ({"values": np.full(8, np.nan)}, "values must be finite"),
        ({"width": 0}, "width must be at least 1"),
        ({"weight": np.ones(4)}, "weight must be 8 positive numbers, got 4"),
        ({"weight": np.zeros(8)}, "weight must be 8 positive numbers, got 8, least 0"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_tensor_train(**({"values": noise(0, 8), "width": 1} | arguments))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_values_and_weights_of_any_size_are_fitted(scale):
    values, weight = (1 + np.arange(32.0)) ** -1.5, np.linspace(2, 1, 32)
    plain, other = fit_tensor_train(values, 1, weight), fit_tensor_train(scale * values, 1, scale * weight)
    # sweeps end where one changes the error by less than 1e-6, wherever rounding lets that be
    assert other.error == pytest.approx(plain.error, rel=1e-3)
    np.testing.assert_allclose(other.values() / scale, plain.values(), rtol=0.02, atol=1e-3)
    assert ranks(scale * values) == ranks(values)
