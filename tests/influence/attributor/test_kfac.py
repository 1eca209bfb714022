"""KFAC is the generalised Gauss-Newton matrix where it claims to be."""

from __future__ import annotations

import pytest
import torch
from network_task import block_scores, ggn, given, layers_of, mlp, parameters
from torch import Tensor, nn

import sciml.influence.kronecker.basis as basis
from sciml.influence.attributor.ekfac import EKFAC
from sciml.influence.attributor.ggn import GGN
from sciml.influence.attributor.kfac import KFAC
from sciml.influence.capture import Record
from sciml.influence.kronecker.attributor import Kronecker

ATTRIBUTORS = [KFAC, EKFAC]


@pytest.mark.parametrize("attributor", ATTRIBUTORS)
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_ggn_of_each_layer_of_a_deep_linear_network_with_squared_loss(
    attributor: type[Kronecker], bias: bool
) -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 5, 2, bias=bias, activation=nn.Identity), 2, 3, squared=True)
    params = parameters(task)
    expected = block_scores(task, params, layers_of(task), ggn(task, params), 0.1)
    torch.testing.assert_close(attributor(curvature="exact")(task, params), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("attributor", ATTRIBUTORS)
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_ggn_with_cross_entropy_where_all_examples_have_the_same_logits(
    attributor: type[Kronecker], bias: bool
) -> None:
    torch.manual_seed(1)
    network = mlp(6, 5, 4, 3, bias=bias, activation=nn.Identity)
    task = given(network, 3, 6)
    params = parameters(task)
    product = torch.linalg.multi_dot([p for name, p in reversed(params.items()) if "weight" in name])
    # Examples differ by what the product of the weights maps to zero: inputs of the layers differ, logits do not.
    nothing = torch.linalg.svd(product).Vh[3:]
    task.x = task.x[:1] + torch.randn(task.n_train, 3, dtype=torch.float64) @ nothing
    task.y = torch.arange(task.n_train) % 3
    expected = block_scores(task, params, layers_of(task), ggn(task, params), 0.1)
    torch.testing.assert_close(attributor(curvature="exact")(task, params), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("squared", [True, False])
def test_it_is_the_ggn_for_a_single_example_of_any_network(squared: bool) -> None:
    """For one output, that is: the sum over outputs of Kronecker products is one product only then."""
    torch.manual_seed(2)
    task = given(mlp(3, 4, 1 if squared else 2), 1 if squared else 2, 3, n=1, squared=squared)
    params = parameters(task)
    # Two classes: the curvature in the outputs has rank one.
    expected = block_scores(task, params, layers_of(task), ggn(task, params), 0.1)
    torch.testing.assert_close(KFAC(curvature="exact")(task, params), expected, rtol=1e-9, atol=1e-11)


def test_with_one_linear_layer_it_equals_the_exact_attributor() -> None:
    torch.manual_seed(3)
    task = given(mlp(4, 2), 2, 4, squared=True)
    params = parameters(task)
    torch.testing.assert_close(KFAC()(task, params), GGN()(task, params), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_shared_weights_are_exact_in_the_setting_that_each_rule_was_made_for(sharing: str) -> None:
    """A linear network over tokens with a loss for each token (expand), or with one for their mean (reduce)."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp(3, 4, 2, activation=nn.Identity)

        def forward(self, x: Tensor) -> Tensor:
            z = self.layers(x)
            return z if sharing == "expand" else z.mean(1)

    torch.manual_seed(4)
    task = given(Tokens(), 2, 5, 3, squared=True)
    if sharing == "expand":
        task.y, task.y_query = (torch.randn(len(x), 5, 2, dtype=torch.float64) for x in (task.x, task.x_query))
    params = parameters(task)
    right = KFAC(curvature="exact", sharing=sharing)(task, params)
    wrong = KFAC(curvature="exact", sharing="reduce" if sharing == "expand" else "expand")(task, params)
    expected = block_scores(task, params, layers_of(task), ggn(task, params), 0.1)
    torch.testing.assert_close(right, expected, rtol=1e-9, atol=1e-11)
    assert (wrong - expected).abs().max() > 0.01 * expected.abs().max()


def _mean(record: Record, sharing: str) -> tuple[Tensor, Tensor, float]:
    return record.inputs, record.grads, 1.0


def _no_bias(record: Record, sharing: str) -> tuple[Tensor, Tensor, float]:
    inputs = record.inputs.clone()
    inputs[..., -1] = 0
    return inputs, record.grads, float(record.tokens.sum())


@pytest.mark.parametrize("wrong", [_mean, _no_bias])
def test_errors_planted_in_the_factors_are_seen(wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 5, 2, activation=nn.Identity), 2, 3, squared=True)
    params = parameters(task)
    expected = block_scores(task, params, layers_of(task), ggn(task, params), 0.1)
    monkeypatch.setattr(basis, "_shared", wrong)
    assert (KFAC()(task, params) - expected).abs().max() > 0.05 * expected.abs().max()


def test_gradients_that_are_not_finite_are_named() -> None:
    task = given(mlp(3, 4, 2), 2, 3)
    task.x[5, 0] = torch.nan
    with pytest.raises(basis.RunError, match=r"inputs of 0 are not finite"):
        KFAC()(task, parameters(task))
