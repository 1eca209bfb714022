"""What an objective says, against autograd of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.errors import RunError
from sciml.optimizer.base import FunctionObjective


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def points(n: int, seed: int) -> Tensor:
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def objective(module: nn.Module) -> FunctionObjective:
    x, y = points(6, 0), points(3, 1)
    return FunctionObjective(
        module.parameters(), residuals=lambda: {"inside": module(x) - 1, "edge": 2 * module(y)[:, 0]}
    )


def flat(tensors) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def test_all_views_are_of_one_function() -> None:
    module = network()
    one = objective(module)
    loss = one()
    gradient = flat(p.grad for p in module.parameters())
    residual, jacobian = one.rows()
    torch.testing.assert_close(loss, residual @ residual, rtol=1e-14, atol=0)
    torch.testing.assert_close(one.value(), loss)
    torch.testing.assert_close(one.residual().detach(), residual)
    torch.testing.assert_close(2 * jacobian.T @ residual, gradient)
    again, same, product = one.second_order()
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(same, gradient)
    names = list(dict(module.named_parameters()))

    def of(vector: Tensor) -> Tensor:
        parts = dict(zip(names, vector.split([p.numel() for p in module.parameters()]), strict=True))
        values = {name: parts[name].view(p.shape) for name, p in module.named_parameters()}
        inside, edge = (torch.func.functional_call(module, values, (x,)) for x in (points(6, 0), points(3, 1)))
        return (inside - 1).square().sum() + 4 * edge.square().sum()

    hessian = torch.autograd.functional.hessian(of, flat(module.parameters()).detach())
    v = points(len(gradient), 2).T.contiguous()
    torch.testing.assert_close(product(v), v @ hessian)  # pyright: ignore[reportOperatorIssue]
    torch.testing.assert_close(product(v[0]), v[0] @ hessian)  # pyright: ignore[reportOperatorIssue]


def test_a_value_leaves_the_gradients_alone() -> None:
    module = network()
    one = objective(module)
    one()
    before = [p.grad for p in module.parameters()]
    one.value()
    one.second_order()
    one.rows()
    assert all(p.grad is g for p, g in zip(module.parameters(), before, strict=True))


def test_frozen_parameters_are_left_out() -> None:
    module = network()
    module[0].weight.requires_grad_(False)  # type: ignore[index]
    assert objective(module).rows()[1].shape == (9, 9)


def test_a_linear_loss_has_no_curvature() -> None:
    p = nn.Parameter(torch.ones(3))
    _, gradient, product = FunctionObjective([p], terms=lambda: {"sum": p.sum()}).second_order()
    assert torch.equal(gradient, torch.ones(3))
    assert torch.equal(product(torch.ones(2, 3)), torch.zeros(2, 3))


def test_a_loss_that_is_no_sum_of_squares_has_no_rows() -> None:
    p = nn.Parameter(torch.ones(3))
    with pytest.raises(RunError, match="sum of squared residuals"):
        FunctionObjective([p], terms=lambda: {"sum": p.sum()}).rows()
    with pytest.raises(ValueError, match="terms or its residuals"):
        FunctionObjective([p])
