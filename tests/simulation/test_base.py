"""What every simulation keeps to, found by its config."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from sciml.cli.configs import options, read
from sciml.config import check_node
from sciml.simulation.base import Simulation, generators
from sciml.simulation.store import _declared_version

CONFIGS = options("simulation")
# Less of it, as far as a simulation has such a setting: some are stiff, some are large.
SMALL = {"points": 32, "resolution": 32, "modes": 4, "frames": 2, "warmup": 0, "dt": 0.01, "step": 0.005, "k_max": 4}


def simulation(name: str, **changed: Any) -> Simulation:
    node = read(f"simulation/{name}")
    return instantiate({**node, **{k: v for k, v in changed.items() if k in node}}, _convert_="all")


@pytest.mark.parametrize("name", CONFIGS)
class TestSimulation:
    def test_its_config_is_complete_and_can_be_built_from_what_it_says_of_itself(self, name: str) -> None:
        node = read(f"simulation/{name}")
        check_node(node, "simulation")
        made = simulation(name)
        assert isinstance(made, Simulation)
        assert {k: v for k, v in node.items() if k != "_target_"} == json.loads(json.dumps(made.parameters()))
        assert type(made)(**made.parameters()).parameters() == made.parameters()

    def test_its_version_is_read_from_the_source(self, name: str) -> None:
        assert _declared_version(read(f"simulation/{name}")["_target_"]) == type(simulation(name)).version

    def test_a_sample_depends_on_its_number_and_the_seed_alone(self, name: str) -> None:
        made = simulation(name, **SMALL)
        together, alone = made.samples(1, 3, 5), made.samples(2, 1, 5)
        assert together.keys() == alone.keys()
        for field, values in together.items():
            assert values.dtype == np.float32
            scale = np.abs(values).max()
            # To rounding: how many are computed at once may change the order of sums, never what is drawn.
            np.testing.assert_allclose(alone[field][0], values[1], atol=1e-4 * scale)
            assert np.abs(values[1] - values[0]).max() > 1e-2 * scale
        other = made.samples(2, 1, 6)
        assert any(np.abs(other[field] - alone[field]).max() > 1e-2 * np.abs(alone[field]).max() for field in other)

    def test_coordinates_are_those_of_the_arrays(self, name: str) -> None:
        made = simulation(name, **SMALL)
        axes = {axis: values for axis, values in made.coordinates().items() if axis != "t-coordinate"}
        assert list(axes) == [f"{axis}-coordinate" for axis in "xyz"[: len(made.periodic)]]
        grid = tuple(map(len, axes.values()))
        for values in made.samples(0, 1, 0).values():
            assert values.shape[-len(grid) :] == grid
            if "t-coordinate" in made.coordinates() and values.ndim == len(grid) + 2:
                assert values.shape[1] == len(made.coordinates()["t-coordinate"])
        for points in axes.values():
            assert np.allclose(np.diff(points), points[1] - points[0])


def test_generators_are_told_apart_by_name_seed_and_number() -> None:
    def first(name: str, seed: int, number: int) -> float:
        return float(torch.rand(1, generator=generators(name, seed, number, 1)[0]))

    numbers = [first(*key) for key in [("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1), ("a", 1, 10)]]
    assert len(set(numbers)) == len(numbers)
    several = [float(torch.rand(1, generator=g)) for g in generators("a", 0, 0, 3)]
    assert several == [first("a", 0, i) for i in range(3)]


def test_names_are_those_of_the_config_files() -> None:
    class KuramotoSivashinsky(Simulation):
        def coordinates(self) -> dict[str, np.ndarray]:
            return {}

        def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
            return {}

    assert KuramotoSivashinsky.name() == "kuramoto_sivashinsky"
