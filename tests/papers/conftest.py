import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def _pictures_are_put_away():
    """What a test has drawn is closed again: pyplot keeps every figure that is open."""
    yield
    plt.close("all")
