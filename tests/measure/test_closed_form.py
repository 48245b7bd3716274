"""A closed form is that of a model which answers by its own kernel and offset."""

import pytest
import torch
from torch import nn

import curse_of_memory as com
from curse_of_memory.measure.closed_form import check_closed_form
from curse_of_memory.nn import RNN, S4D, SSM
from curse_of_memory.training.exact.expected_loss import ExpectedLoss


class Delays(nn.Module):
    """ŷ_k = 3 x_k + 2 x_{k−1} + 1 by its forward; what it says of itself is given."""

    is_linear, dt, input_size = True, 1.0, 1

    def __init__(self, kernel=(3.0, 2.0), offset=1.0, dtype=torch.float64):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 2.0, 1.0], dtype=dtype))
        self.said, self.rest = kernel, offset

    def forward(self, x):
        a, b, c = self.weight
        return a * x + b * nn.functional.pad(x, (0, 0, 1, 0))[:, :-1] + c

    def kernel(self, horizon, parameters=None):
        if not isinstance(self.said, tuple):
            return self.said(horizon)
        weight = (parameters or {"weight": self.weight})["weight"]
        factors = self.weight.new_tensor(self.said) / self.weight.detach()[: len(self.said)]
        memory = factors * weight[: len(self.said)]
        return nn.functional.pad(memory, (0, horizon - len(memory)))[:, None, None]

    def offset(self, horizon, parameters=None):
        weight = (parameters or {"weight": self.weight})["weight"]
        return self.rest * weight[2].expand(horizon, 1)


class Halved(RNN):
    def forward(self, x):
        return super().forward(x) / 2


def fails(horizon):
    raise RuntimeError("no kernel\nat all")


TASK = com.tasks.LinearFunctional(com.targets.polynomial(1.1, rate=0.1), 20)
USES = {
    "check": check_closed_form,
    "memory": lambda model: com.memory_function(model, horizon=5),
    "expected loss": lambda model: ExpectedLoss(model, TASK),
    "perturbation": lambda model: com.perturbation_curve(model, TASK, betas=[0.0, 0.1], draws=2),
    "sum of squares": lambda model: com.fit_expected(model, TASK, descent=1, evaluations=1),
}


@pytest.mark.parametrize("use", USES)
def test_who_answers_by_them_may_use_them(use):
    for dtype in (torch.float32, torch.float64):
        USES[use](Delays(dtype=dtype))
    assert com.memory_function(Delays(), horizon=3).values.tolist() == [3.0, 2.0, 0.0]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Delays(kernel=(3.0, 2.001)), "^model must answer by its kernel.., which Delays does not$"),
        (Delays(kernel=(3.0,)), "^model must answer by its kernel.., which Delays does not$"),
        (Delays(offset=0.0), "^model must answer by its offset.., which Delays does not$"),
        (
            Halved(2, activation="linear", seed=0),
            "^model must answer by its kernel.., which Halved does",
        ),
        (Delays(kernel=fails), "^model must give its kernel..; Delays: RuntimeError: no kernel$"),
        (
            Delays(kernel=lambda n: [0.0] * n),
            "must give its kernel.. as a tensor, Delays does as list$",
        ),
        (Delays(kernel=lambda n: torch.ones(n)), r"^model must give kernel.12. of shape .*Delays has .12,.$"),
        (Delays(kernel=lambda n: torch.ones(n - 1, 1, 1)), r"of shape .12, output, input., that of Delays"),
        (
            Delays(kernel=lambda n: torch.ones(n, 2, 1)),
            "must answer by its kernel.., but Delays gives",
        ),
        (Delays(kernel=lambda n: torch.ones(n, 1, 1) + 0j), "^model must answer with what its kernel.. is"),
    ],
)
def test_who_answers_otherwise_is_refused_in_one_line(use, model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        USES[use](model)


def test_a_kernel_of_other_parameters_is_computed_from_them():
    deaf = Delays()
    deaf.kernel = lambda horizon, parameters=None: Delays.kernel(deaf, horizon).detach()
    assert com.memory_function(deaf, horizon=3).values.tolist() == [3.0, 2.0, 0.0]
    for use in ("expected loss", "perturbation", "sum of squares"):
        with pytest.raises(ValueError, match=r"must compute its kernel.. from given parameters, Delays"):
            USES[use](deaf)


@pytest.mark.parametrize(
    "model",
    [
        RNN(3, activation="linear", bias=True, seed=0, dt=0.1),
        RNN(3, activation="linear", input_size=2, output_size=4, seed=0),
        SSM(4, seed=0),
        SSM(4, seed=0, parameterization="best", skip=True, bias=True, dtype=torch.float64),
        S4D(1, states=4, seed=0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_our_own_answer_by_theirs(model, dtype):
    check_closed_form(model.to(dtype))
