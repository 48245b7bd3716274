import numpy as np
import pytest

from curse_of_memory.theory.lemmas.gru_linearization import gru_linearization

DRAWS = np.random.default_rng(0)
U_H, B_R, B_Z = DRAWS.standard_normal((3, 3)), DRAWS.standard_normal(3), DRAWS.standard_normal(3)


def gru(h):
    """Return dh/dt of the continuous GRU of the paper at zero input, the gates depending on h as well."""
    U_r, U_z = np.random.default_rng(1).standard_normal((2, 3, 3))
    r, z = (1 / (1 + np.exp(-(U @ h + b))) for U, b in ((U_r, B_R), (U_z, B_Z)))
    return z * (np.tanh(U_H @ (r * h)) - h)


def test_it_is_the_jacobian_at_rest():
    h = 1e-6
    jacobian = np.stack([(gru(h * e) - gru(-h * e)) / (2 * h) for e in np.eye(3)], axis=1)
    # central differences: h² of a third derivative of order one, and rounding over h
    np.testing.assert_allclose(gru_linearization(U_H, B_R, B_Z), jacobian, rtol=0, atol=1e-9)


def test_closed_gates_leave_a_slow_decay():
    found = gru_linearization(U_H, np.full(3, -800.0), np.full(3, -5.0))
    np.testing.assert_allclose(found, -np.eye(3) / (1 + np.exp(5)), rtol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), B_R, B_Z), "U_h must be a square matrix"),
        ((U_H, B_R[:2], B_Z), "b_r must have one value per unit, 3, got 2"),
        ((U_H, B_R, np.full(3, np.nan)), "b_z must be finite"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gru_linearization(*arguments)
