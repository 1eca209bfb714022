"""Files in the published layouts of both formats; what is wrong with one is said in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mat_files import VERSIONS, write

from sciml.diffusion.dataset.diffusionpde import LAYOUTS, DiffusionPDE
from sciml.errors import ConfigError, RunError, UsageError

COUNTS: dict[str, Any] = {"n_train": 3, "n_val": 1, "n_test": 2}
N, SIDE, TIMES = 6, 4, 9
STATIC = ["darcy", "poisson", "helmholtz", "burgers"]


def published(problem: str, n: int = N, seed: int = 0) -> dict[str, np.ndarray]:
    """Variables of a file, or the one array of ``ns_bounded`` as ``v``."""
    draw = np.random.default_rng(seed)
    shape = (n, SIDE, SIDE)
    if problem == "darcy":
        a = np.where(draw.random(shape) < 0.5, 3.0, 12.0)
        others = {f"lognorm_{name}_data": draw.standard_normal(shape) for name in "ap"}
        return {"thresh_a_data": a, "thresh_p_data": draw.standard_normal(shape), **others}
    if problem == "ns_nonbounded":
        time = {"t": np.arange(1.0, TIMES + 1)[None]}
        return {"a": draw.standard_normal(shape), "u": draw.standard_normal((*shape, TIMES)), **time}
    if problem == "ns_bounded":
        return {"v": draw.random((*shape, TIMES))}
    names = {"poisson": ["f_data", "phi_data"], "helmholtz": ["f_data", "psi_data"], "burgers": ["input", "output"]}
    return {name: draw.standard_normal(shape) for name in names[problem]}


def expected(problem: str, variables: dict[str, np.ndarray]) -> torch.Tensor:
    """The scaled channels, by hand."""
    v = variables
    channels = {
        "darcy": lambda: [(v["thresh_a_data"] - 7.5) / 4.5, v["thresh_p_data"] / 0.005],
        "poisson": lambda: [v["f_data"] / 0.292, v["phi_data"] / 0.00418],
        "helmholtz": lambda: [v["f_data"] / 0.284, v["psi_data"] / 0.00428],
        "ns_nonbounded": lambda: [v["a"] / 0.25, v["u"][..., TIMES - 1] / 0.25],
        "burgers": lambda: [v["output"] / 0.2],
        "ns_bounded": lambda: [v["v"][..., 4] / 2, v["v"][..., 8] / 3],
    }
    return torch.from_numpy(np.stack(channels[problem](), -1)).float()


def merged(problem: str, variables: dict[str, np.ndarray]) -> np.ndarray:
    """As their networks see them, by the formulas of their scripts."""
    v = variables
    if problem == "darcy":
        return np.stack((v["thresh_a_data"] * 0.2 - 1.5, v["thresh_p_data"] * 115 - 0.9), -1)
    if problem == "poisson":
        return np.stack((v["f_data"] / 2.15, v["phi_data"] * 36.5), -1)
    if problem == "helmholtz":
        return np.stack((v["f_data"] / 2.15, v["psi_data"] / 0.028), -1)
    return v["output"][..., None] / 1.415


def check(dataset: DiffusionPDE, fields: torch.Tensor, rtol: float = 1.3e-6) -> None:
    splits = dataset.splits()
    assert dataset.shape == fields.shape[1:]
    for name, part in {"test": fields[:2], "val": fields[2:3], "train": fields[3:6]}.items():
        torch.testing.assert_close(splits[name], part, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("problem", [*STATIC, "ns_nonbounded"])
def test_files_of_either_format_give_the_scaled_fields(tmp_path: Path, version: str, problem: str) -> None:
    variables = published(problem)
    path = write(tmp_path / "f.mat", version, **variables)
    check(DiffusionPDE(path=path, problem=problem, **COUNTS), expected(problem, variables))


def test_a_folder_is_read_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    parts = [published("poisson", n=2, seed=i) for i in range(3)]
    for i, part in zip((2, 9, 10), parts, strict=True):
        write(tmp_path / f"poisson_{i}.mat", "7", **part)
    fields = torch.cat([expected("poisson", part) for part in parts])
    check(DiffusionPDE(path=str(tmp_path), problem="poisson", **COUNTS), fields)
    assert DiffusionPDE(path=str(tmp_path), problem="poisson", **COUNTS).splits().keys() == {"train", "val", "test"}


def test_a_test_file_of_its_own_leaves_all_others_to_training(tmp_path: Path) -> None:
    mine, other = published("poisson"), published("poisson", seed=1)
    path, test_path = (write(tmp_path / f"{i}.mat", "7", **variables) for i, variables in enumerate([mine, other]))
    splits = DiffusionPDE(path=path, problem="poisson", test_path=test_path, n_train=5, n_val=1, n_test=2).splits()
    torch.testing.assert_close(splits["val"], expected("poisson", mine)[:1])
    torch.testing.assert_close(splits["train"], expected("poisson", mine)[1:])
    torch.testing.assert_close(splits["test"], expected("poisson", other)[:2])


@pytest.mark.parametrize("problem", STATIC)
def test_merged_files_are_scaled_back(tmp_path: Path, problem: str) -> None:
    variables = published(problem, n=12)
    for i, field in enumerate(merged(problem, variables)):
        np.save(tmp_path / f"merge_{i}.npy", field)
    check(DiffusionPDE(path=str(tmp_path), problem=problem, **COUNTS), expected(problem, variables), rtol=1e-5)


def test_bounded_flow_takes_two_times_of_one_array(tmp_path: Path) -> None:
    parts = [published("ns_bounded", n=3, seed=i) for i in range(2)]
    for i, part in enumerate(parts):
        (tmp_path / str(i)).mkdir()
        np.save(tmp_path / str(i) / "v.npy", part["v"])
    fields = torch.cat([expected("ns_bounded", part) for part in parts])
    check(DiffusionPDE(path=str(tmp_path), problem="ns_bounded", **COUNTS), fields)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("problem", "change", "says"),
    [
        ("darcy", {"thresh_p_data": None}, "no variable thresh_p_data of numbers"),
        ("darcy", {"thresh_p_data": (6, 4)}, r"thresh_p_data: shape \(6, 4\), expected \(n, x, y\)"),
        ("darcy", {"thresh_p_data": (6, 4, 3)}, r"thresh_p_data: shape \(6, 4, 3\), expected \(6, 4, 4\)"),
        ("ns_nonbounded", {"u": (6, 4, 4)}, r"u: shape \(6, 4, 4\), expected \(n, x, y, t\)"),
        ("ns_nonbounded", {"u": (5, 4, 4, 9)}, r"u: shape \(5, 4, 4, 9\), expected \(6, 4, 4, t\)"),
    ],
)
def test_another_layout_is_one_line(tmp_path: Path, version: str, problem: str, change: dict, says: str) -> None:
    variables = published(problem)
    for name, shape in change.items():
        del variables[name]
        variables |= {} if shape is None else {name: np.zeros(shape)}
    path = write(tmp_path / "f.mat", version, **variables)
    with pytest.raises(UsageError, match=rf"^[^\n]*f\.mat: {says}[^\n]*$"):
        DiffusionPDE(path=path, problem=problem, **COUNTS).splits()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, version: str) -> None:
    path = tmp_path / "f.mat"
    write(path, version, **published("poisson", n=200))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UsageError, match=r"f\.mat: .* cut off"):
        DiffusionPDE(path=str(path), problem="poisson", **COUNTS).splits()


def test_numbers_that_cannot_be_are_named(tmp_path: Path) -> None:
    variables = published("darcy")
    variables["thresh_p_data"][4, 0, 0] = np.nan
    with pytest.raises(RunError, match=r"f\.mat: thresh_p_data: a number that is not finite"):
        DiffusionPDE(path=write(tmp_path / "f.mat", "7", **variables), **COUNTS).splits()
    variables = published("darcy")
    variables["thresh_a_data"][variables["thresh_a_data"] == 3] = 4
    with pytest.raises(UsageError, match=r"thresh_a_data: coefficients from 4 to 12, expected 3 or 12"):
        DiffusionPDE(path=write(tmp_path / "f.mat", "7", **variables), **COUNTS).splits()


def test_what_is_asked_for_must_be_there_and_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "f.mat", "7", **published("poisson"))
    with pytest.raises(ConfigError, match=r"f\.mat has 6 fields, not the 7"):
        DiffusionPDE(path=path, problem="poisson", n_train=4, n_val=1, n_test=2).splits()
    with pytest.raises(ConfigError, match=r"6 fields \(4, 4, 2\) take 7\.15e-07 GiB, more than .*limit of 1e-08"):
        DiffusionPDE(path=path, problem="poisson", limit=1e-8, **COUNTS)
    with pytest.raises(ConfigError, match=r"problem is 'stokes'; it must be one of darcy, poisson"):
        DiffusionPDE(path=path, problem="stokes", **COUNTS)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        DiffusionPDE(path=str(tmp_path / "none"), **COUNTS)
    with pytest.raises(UsageError, match=r"holds none of merge_\*\.npy, \*\.mat"):
        DiffusionPDE(path=str(tmp_path), **COUNTS)
    array = tmp_path / "v.npy"
    np.save(array, np.zeros((3, 4, 4, 8)))
    with pytest.raises(UsageError, match=r"v\.npy: expected a \.mat file, or a merged one called merge_<i>\.npy"):
        DiffusionPDE(path=str(array), **COUNTS)
    with pytest.raises(UsageError, match=r"v\.npy: shape \(3, 4, 4, 8\), expected \(n, x, y, t\) with 9 times or more"):
        DiffusionPDE(path=str(array), problem="ns_bounded", **COUNTS)
    mixed = tmp_path / "merge_0.npy"
    np.save(mixed, np.zeros((4, 4, 3)))
    with pytest.raises(UsageError, match=r"merge_0\.npy: shape \(4, 4, 3\), expected \(x, y, 2\)"):
        DiffusionPDE(path=str(tmp_path), **COUNTS)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "harmed",))

    path = tmp_path / "merge_0.npy"
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(UsageError, match="no array of numbers"):
        DiffusionPDE(path=str(path), **COUNTS)
    np.save(path, np.array([Harm()], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no array of numbers"):
        DiffusionPDE(path=str(path), **COUNTS)
    assert not (tmp_path / "harmed").exists()


def test_every_problem_has_a_number_for_each_channel() -> None:
    for layout in LAYOUTS.values():
        c = len(layout.names)
        assert (len(layout.frames), len(layout.scale), len(layout.offset), len(layout.merged)) == (c, c, c, c)
        assert len(layout.variables) in (0, c)
