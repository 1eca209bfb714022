"""What a report takes from a run folder, and what it leaves out."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import pytest
from PIL import Image

from sciml.report import gather
from sciml.report.differences import config_differences, differences, varying

from .runs import write_run


def test_a_run_brings_its_numbers_its_curves_and_its_figures(tmp_path: Path) -> None:
    problems: list[str] = []
    run = gather.run_data(write_run(tmp_path, figure=True, err=0.25), "x", problems)
    assert run is not None
    assert run["metrics"] == {"err": 0.25}
    assert run["cost"] == {"steps": 50, "operator calls": 3.0}
    # The torn last line of a killed process and the tests are no curve.
    assert run["curves"]["train/loss"] == [[10, 20, 30, 40, 50], [1.0, 0.5, 0.33333, 0.25, 0.2]]
    assert set(run["curves"]) == {"train/loss", "train/boundary"}
    assert run["figures"][0]["alt"] == "solution and error of doe2020x/case, seed 0"
    kind, _, data = run["figures"][0]["uri"].partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.format is not None
        assert kind == f"data:image/{picture.format.lower()}"
        assert picture.size == (180, 120)
    assert not problems


def test_a_run_brings_the_files_that_it_has_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    row = folder.read_row()
    assert row is not None
    files = {
        "a.npz": {"size": 7, "modified": 1.5, "sha256": "ab"},
        "b.h5": {"size": 9, "sha256_of_pieces": "cd"},
        "c": "?",
    }
    folder.write_row({**row, "files": files})
    run = gather.run_data(folder, "x", [])
    assert run is not None
    found = {name: text for name, text in run["provenance"].items() if name.startswith("data ")}
    assert found == {"data a.npz": "7 bytes, sha256 ab", "data b.h5": "9 bytes, sha256 of pieces cd"}


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    run = gather.run_data(write_run(tmp_path, steps=2000), "x", [])
    assert run is not None
    steps, values = run["curves"]["train/loss"]
    assert len(steps) == len(values) == gather.POINTS
    assert (steps[0], steps[-1]) == (10, 20000)
    assert all(math.isclose(value, 10 / step, rel_tol=1e-4) for step, value in zip(steps, values, strict=True))


def test_costs_that_tell_runs_apart_come_first() -> None:
    costs = [
        {"wall seconds": 1.0, "steps": 5, "parameters": 9, "operator calls": 0, "evaluations": 3},
        {"wall seconds": 2.0, "steps": 6, "parameters": 9, "operator calls": 0, "evaluations": 4},
        {"wall seconds": 3.0, "parameters": 9, "operator calls": 7, "evaluations": 5},
    ]
    points = [{"cost": cost} for cost in costs]
    assert gather._axes(points, []) == ["wall seconds", "evaluations", "steps", "operator calls"]
    assert gather._axes(points, ["operator calls", "evaluations"])[:2] == ["evaluations", "wall seconds"]
    assert gather._axes(points[:1], []) == ["wall seconds", "evaluations", "parameters", "steps", "operator calls"]


def test_an_unfinished_run_is_shown_as_what_it_is(tmp_path: Path) -> None:
    run = gather.run_data(write_run(tmp_path, done=False), "x", [])
    assert run is not None
    assert (run["state"], run["error"], run["metrics"]) == ("failed", "RunError: <b>it broke</b>", {})


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [("row.json", '{"experiment": "doe', "row.json"), ("config.yaml", "a: [1", "config.yaml")],
)
def test_a_damaged_file_is_named_and_its_run_left_out(tmp_path: Path, file: str, content: str, named: str) -> None:
    folder = write_run(tmp_path)
    (folder.path / file).write_text(content)
    problems: list[str] = []
    assert gather.run_data(folder, "x", problems) is None
    assert len(problems) == 1
    assert named in problems[0]


def test_a_broken_picture_is_named_and_the_run_stays(tmp_path: Path) -> None:
    folder = write_run(tmp_path, figure=True)
    picture = folder.figures / "solution_and_error.png"
    picture.write_bytes(picture.read_bytes()[:200])
    problems: list[str] = []
    run = gather.run_data(folder, "x", problems)
    assert run is not None
    assert run["figures"] == []
    assert "solution_and_error.png is no picture" in problems[0]


def test_sweep_folders_hold_no_runs(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    hidden = tmp_path / ".sweeps/one/config.yaml"
    hidden.parent.mkdir(parents=True)
    hidden.write_text("")
    assert [run.path for run in gather.runs_below(tmp_path)] == [folder.path]


def test_metrics_that_most_runs_have_come_first() -> None:
    runs = [{"metrics": {"b": 1, "best/b": 1}}, {"metrics": {"b": 1, "a": 2}}, {"metrics": {"c": 1}}]
    assert gather.metric_names(runs) == ["b", "a", "c"]


def test_differences_name_each_cause_once() -> None:
    first = {"network": {"width": 8}, "pinn": {"network": {"width": 8}, "n": 1}, "flag": True}
    second = {"network": {"width": 16}, "pinn": {"network": {"width": 16}, "n": 1}, "flag": 1, "more": None}
    assert config_differences([first, second]) == {"network.width": [8, 16], "flag": [True, 1], "more": ["-", None]}


def test_a_group_explains_the_keys_below_it(tmp_path: Path) -> None:
    folders = [write_run(tmp_path), write_run(tmp_path, option="long", seed=1), write_run(tmp_path, width=16, seed=2)]
    runs = [run for folder in folders if (run := gather.run_data(folder, folder.path.name, []))]
    assert differences(runs) == {"pinn/points": ["a", "long", "a"], "network.width": [8, 8, 16]}
    assert varying(runs) == [
        ["pinn/points=a", "network.width=8"], ["pinn/points=long", "network.width=8"],
        ["pinn/points=a", "network.width=16"],
    ]  # fmt: skip
    assert varying(runs[:1]) == [[]]
