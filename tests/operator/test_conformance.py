"""What every dataset, rollout, predictor and field network promises. Methods are found by their configs."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from sciml.errors import RunError
from sciml.operator.base import Dataset, Rollout
from sciml.operator.predictor import Predictor

SIZES = {"n_train": 12, "n_val": 5, "n_test": 7}


def options(group: str) -> list[str]:
    return sorted(f.name.removesuffix(".yaml") for f in files("sciml.conf").joinpath(group).iterdir())


def config(*overrides: str) -> Any:
    with initialize_config_module("sciml.conf", version_base="1.3"):
        return compose("config", list(overrides))


def build(slot: str, choice: str, **parameters: Any) -> Any:
    family = "baseline" if slot in ("dataset", "predictor") else "default"
    node = config(f"+operator={family}", f"operator/{slot}={choice}").operator[slot]
    known = {key: value for key, value in parameters.items() if key in node}
    return instantiate(node, **known, _convert_="all")


def seeded(node: Any, seed: int) -> bool:
    """Set every seed that a dataset has, also that of its source; False if there is none, as with data from files."""
    there = "seed" in node
    if there:
        node.seed = seed
    return any([there, *(seeded(part, seed) for part in node.values() if isinstance(part, DictConfig))])


def dataset(choice: str, **parameters: Any) -> Dataset:
    return build("dataset", choice, **{**SIZES, **parameters})


# ---------------------------------------------------------------- datasets


@pytest.mark.parametrize("name", options("operator/dataset"))
def test_fields_have_the_declared_shapes(name: str) -> None:
    data = dataset(name)
    splits = data.splits()
    assert {"train", "val", "test"} <= set(splits)
    assert all(key in ("train", "val") or key == "test" or key.startswith("test_") for key in splits)
    for split, parts in splits.items():
        u, target = parts.whole()
        grid = u.shape[1:-1]
        assert u.dtype == target.dtype == torch.float32
        assert u.shape[-1] == data.in_channels
        assert target.shape == (len(u), target.shape[1], *grid, data.out_channels)
        assert torch.isfinite(u).all()
        assert torch.isfinite(target).all()
        if not split.startswith("test_"):
            assert grid == data.grid


@pytest.mark.parametrize("name", options("operator/dataset"))
def test_a_dataset_is_a_function_of_its_parameters(name: str) -> None:
    torch.manual_seed(0)
    first = dataset(name).splits()
    torch.manual_seed(1)  # the run's seed is no parameter of a dataset
    second = dataset(name).splits()
    node = config("+operator=baseline", f"operator/dataset={name}").operator.dataset
    other = instantiate(node, **SIZES, _convert_="all").splits() if seeded(node, 17) else None
    for split, parts in first.items():
        u, target = parts.whole()
        assert torch.equal(u, second[split].whole().input)
        assert torch.equal(target, second[split].whole().target)
        assert other is None or not torch.equal(u, other[split].whole().input)


@pytest.mark.parametrize("name", options("operator/dataset"))
def test_no_example_is_in_two_splits(name: str) -> None:
    splits = dataset(name).splits()
    rows = torch.cat([splits[split].whole().input.flatten(1) for split in ("train", "val", "test")])
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize("name", options("operator/dataset"))
def test_targets_follow_from_inputs_by_the_datasets_own_solver(name: str) -> None:
    data = dataset(name)
    for split in data.splits().values():
        u, target = split.whole()
        try:
            found = data.reference(u)
        except RunError:
            return
        torch.testing.assert_close(found, target[:, 0], rtol=1e-5, atol=1e-5)
        assert (target[:, 0] - u[..., -data.out_channels :]).norm() > 0.01 * target[:, 0].norm()


# ---------------------------------------------------------------- rollouts


def shift(u: torch.Tensor) -> torch.Tensor:
    return 0.9 * u.roll(1, dims=1) + 0.1 * u.square()


@pytest.mark.parametrize("name", options("operator/rollout"))
def test_later_states_do_not_change_earlier_ones_and_examples_do_not_mix(name: str) -> None:
    rollout: Rollout = build("rollout", name)
    u0 = torch.randn(3, 8, 2, dtype=torch.float64)
    states = rollout(shift, u0, 4)
    assert states.shape == (3, 4, 8, 2)
    torch.testing.assert_close(rollout(shift, u0, 2), states[:, :2])
    torch.testing.assert_close(torch.cat([rollout(shift, u, 4) for u in u0.split(1)]), states)
    assert (states[:, 1:] - states[:, :-1]).abs().amax((0, 2, 3)).min() > 0.01


# ---------------------------------------------------------------- predictors


@pytest.mark.parametrize("name", options("operator/predictor"))
@pytest.mark.parametrize("data", options("operator/dataset"))
def test_a_predictor_gives_states_on_every_grid(name: str, data: str) -> None:
    source = dataset(data)
    splits = source.splits()
    predictor: Predictor = build("predictor", name)
    for split in splits.values():
        u, target = split.whole()
        try:
            found = predictor(source, splits["train"])(u)
        except RunError:  # it asks for the solver of data that come from elsewhere
            return
        assert found.shape == target[:, 0].shape


# ---------------------------------------------------------------- networks that map fields


def field_networks() -> list[str]:
    """Networks that say on how many axes they act; others map points, not fields."""
    names = []
    for name in options("network"):
        if hasattr(get_class(config(f"network={name}").network._target_), "spatial_dims"):
            names.append(name)
    return names


def network(name: str, in_features: int, out_features: int) -> Any:
    torch.manual_seed(0)
    return instantiate(config(f"network={name}").network, _convert_="all")(in_features, out_features).double().eval()


def smooth_field(points: int, dims: int, channels: int) -> torch.Tensor:
    """Two examples of the same few waves on any grid."""
    x = torch.arange(points, dtype=torch.float64) * 2 * math.pi / points
    u = torch.stack([torch.sin((c + 1) * x + c) + 0.3 * c for c in range(channels)], dim=-1)
    u = u.reshape(points, *[1] * (dims - 1), channels).expand(*[points] * dims, channels)
    return torch.stack([u, u.square()])


@pytest.mark.parametrize("name", field_networks())
@pytest.mark.parametrize("points", [16, 17])
def test_a_field_network_maps_fields_and_learns_with_every_parameter(name: str, points: int) -> None:
    net = network(name, 2, 3)
    u = smooth_field(points, net.spatial_dims, 2) + torch.randn(points, *[1] * (net.spatial_dims - 1), 2).double()
    v = net(u)
    assert v.shape == (*u.shape[:-1], 3)
    v.square().sum().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("name", field_networks())
@pytest.mark.parametrize("points", [16, 17])
def test_declared_symmetries_hold(name: str, points: int) -> None:
    net = network(name, 2, 2)
    u = smooth_field(points, net.spatial_dims, 2)
    assert net.equivariant <= {"translation"}, "write a test for this symmetry"
    if "translation" in net.equivariant:
        torch.testing.assert_close(net(u.roll(5, dims=1)), net(u).roll(5, dims=1))
        assert (net(u).roll(5, dims=1) - net(u)).abs().max() > 1e-3


@pytest.mark.parametrize("name", field_networks())
def test_a_grid_free_network_is_the_same_operator_on_a_finer_grid(name: str) -> None:
    net = network(name, 2, 2)
    if not net.grid_free:
        return
    dims = net.spatial_dims
    every_other = (slice(None), *[slice(None, None, 2)] * dims)
    coarse, fine = smooth_field(64, dims, 2), smooth_field(128, dims, 2)
    torch.testing.assert_close(fine[every_other], coarse)
    torch.testing.assert_close(net(fine)[every_other], net(coarse))
