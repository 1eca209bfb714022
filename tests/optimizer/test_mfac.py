from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.optimizer.mfac import MFAC


def static(gradients: list[Tensor], m: int, damping: float) -> Tensor:
    """The inverse by rank-one updates of a dense matrix, the recursion that the paper starts from."""
    inverse = torch.eye(len(gradients[0]), dtype=torch.float64) / damping
    for g in gradients:
        v = inverse @ g
        inverse = inverse - torch.outer(v, v) / (m + g @ v)
    return inverse


def dynamic(gradients: list[Tensor], x: Tensor, m: int, damping: float) -> Tensor:
    r"""The paper's dynamic algorithm, entry by entry: :math:`D_{ij} = g_i^T F_{i-1}^{-1} g_j` and the coefficients
    B of :math:`F_{i-1}^{-1} g_i` on the gradients themselves, then the product with x.
    """
    n = len(gradients)
    d = torch.zeros(n, n, dtype=torch.float64)
    b = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(i, n):
            d[i, j] = gradients[i] @ gradients[j] / damping
            for k in range(i):
                d[i, j] -= d[k, i] * d[k, j] / (m + d[k, k])
    for i in range(n):
        b[i, i] = 1 / damping
        for k in range(i):
            b[i] -= d[k, i] / (m + d[k, k]) * b[k]
    q = torch.zeros(n, dtype=torch.float64)  # g_i^T F_{i-1}^{-1} x
    for i in range(n):
        q[i] = gradients[i] @ x / damping
        for k in range(i):
            q[i] -= d[k, i] * q[k] / (m + d[k, k])
    out = x / damping
    for i in range(n):
        out = out - q[i] / (m + d[i, i]) * sum(b[i, j] * gradients[j] for j in range(i + 1))
    return out


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def loss(module: nn.Module, step: int) -> Tensor:
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    return (module(x) - x[:, :2]).square().mean()


def flat(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "window"), [(0.0, 0.0, 4), (0.9, 0.0, 4), (0.9, 0.3, 4), (0.0, 0.3, 20)]
)
def test_steps_equal_the_naive_transcription(momentum: float, weight_decay: float, window: int) -> None:
    module = network()
    optimizer = MFAC(
        module.parameters(), lr=0.05, momentum=momentum, weight_decay=weight_decay, window=window, damping=1e-2
    )
    theta, velocity, seen = flat(module), torch.zeros(26, dtype=torch.float64), []
    for step in range(10):
        optimizer.zero_grad()
        loss(module, step).backward()
        g = torch.cat([p.grad.flatten() for p in module.parameters()]) + weight_decay * theta  # type: ignore[union-attr]
        seen = [*seen, g][-window:]
        product = static(seen, window, 1e-2) @ g
        torch.testing.assert_close(dynamic(seen, g, window, 1e-2), product)  # the two forms of the paper agree
        velocity = momentum * velocity + (1 - momentum) * product
        theta = theta - 0.05 * velocity
        optimizer.step()
        torch.testing.assert_close(flat(module), theta)


def test_groups_share_the_window_and_keep_their_rates() -> None:
    together, apart = network(), network()
    one = MFAC(together.parameters(), lr=0.1, window=4)
    first, second = apart[0], apart[2]  # type: ignore[index]
    two = MFAC([{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.0}], lr=0.1, window=4)
    for module, optimizer in ((together, one), (apart, two)):
        loss(module, 0).backward()
        optimizer.step()
    assert torch.equal(together[0].weight, apart[0].weight)  # type: ignore[index]
    assert torch.equal(second.weight, network()[2].weight)  # type: ignore[index]


def test_the_state_keeps_its_precision_beside_single_precision_parameters() -> None:
    module = network().float()
    optimizer = MFAC(module.parameters(), window=3)
    for step in range(5):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    again = MFAC(network().float().parameters(), window=3)
    again.load_state_dict(optimizer.state_dict())
    state = again.state["window"]
    assert state["gram"].dtype == torch.float64
    assert state["gradients"].dtype == torch.float32
    rows = state["gradients"].double()
    torch.testing.assert_close(state["gram"], rows @ rows.T, rtol=1e-12, atol=0)


def test_a_gradient_that_is_not_finite_shows_and_stays_out_of_the_window() -> None:
    module = network()
    optimizer = MFAC(module.parameters(), window=3)
    loss(module, 0).backward()
    optimizer.step()
    (module(torch.full((1, 3), torch.inf, dtype=torch.float64)) * 0).sum().backward()
    optimizer.step()
    assert flat(module).isnan().any()
    assert optimizer.state["window"]["seen"] == 1
    assert optimizer.state["window"]["gradients"].isfinite().all()


def test_complex_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="real parameters"):
        MFAC([torch.zeros(2, dtype=torch.complex64, requires_grad=True)])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MFAC, lr=-0.1, momentum=1.0, window=0, damping=0.0) == {}
