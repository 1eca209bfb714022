"""What README promises: its example of a method is complete, and its commands exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose

from sciml.build import module_of, trainer_of
from sciml.cli.launch import launch
from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.config import check
from sciml.numerics import quiet
from sciml.tablefile import parse

README = Path(__file__).parents[1] / "README.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def block(*words: str) -> str:
    """The Python that holds these words."""
    (found,) = [text for text in blocks("python") if all(word in text for word in words)]
    return found


def test_example_method_runs_in_four_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sciml.pinn.collocation as package

    method, test = block("class Greedy"), block("def test_keeps")
    _, config, row = blocks("yaml")
    (tmp_path / "greedy.py").write_text(method)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(package, "greedy", None, raising=False)
    scope: dict[str, object] = {}
    exec(compile(test, "README.md", "exec"), scope)
    scope["test_keeps_exactly_the_points_with_the_largest_residuals"]()  # type: ignore[operator]
    conf = tmp_path / "conf"
    (conf / "pinn/collocation").mkdir(parents=True)
    (conf / "pinn/collocation/greedy.yaml").write_text(config)
    small = ["trainer.max_steps=2", "pinn.n_points=20", "pinn.n_val=20", "pinn.log_every=1", "pinn.val_every=1"]
    where = ["track.mode=disabled", f"outputs={tmp_path / 'outputs'}"]
    choice = yaml.safe_load(row)[0]["overrides"]
    assert launch(["+experiment=daw2023r3/convection", *choice, *small, *where], config_dir=str(conf)) == 0
    assert len(list(tmp_path.rglob("row.json"))) == 1
    sys.modules.pop("sciml.pinn.collocation.greedy", None)


def test_example_equation_is_solved_from_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fisher.py").write_text(block("class Fisher"))
    (tmp_path / "mine/pinn/problem").mkdir(parents=True)
    (tmp_path / "mine/pinn/problem/fisher.yaml").write_text(blocks("yaml")[0])
    (line,) = re.findall(r"^sciml train -c mine .*", README.read_text(), flags=re.MULTILINE)
    chosen = [word for word in line.split() if re.match(r"\+?[a-z][a-z/]*=", word)]
    small = ["trainer.max_steps=2", "pinn.n_points=20", "pinn.n_val=20", "pinn.log_every=1", "pinn.val_every=1"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert launch([*chosen, *small, "track.mode=disabled"], config_dir="mine", trust=["fisher"]) == 0
    (row,) = tmp_path.rglob("row.json")
    found = yaml.safe_load(row.read_text())["metrics"]
    assert {"residual", "residual_initial", "residual_boundary"} <= set(found)
    assert "rel_l2" not in found
    sys.modules.pop("fisher", None)


def test_example_row_fits_into_its_table() -> None:
    text = (README.parent / "conf/table/daw2023r3/convection.yaml").read_text()
    table = parse("daw2023r3/convection", yaml.safe_load(text + blocks("yaml")[2]))
    assert table.rows[-1].name == "greedy"


def test_commands_of_the_page_exist() -> None:
    from sciml.cli.main import app

    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    names |= {group.name for group in app.registered_groups}
    used = set(re.findall(r"^sciml (\w+)", README.read_text(), flags=re.MULTILINE))
    assert used <= names


def runs_of_the_page() -> list[list[str]]:
    """The overrides of every run that the page shows in full."""
    found = []
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE):
        for line in [] if kind else text.replace("\\\n", " ").splitlines():
            if line.startswith("sciml train +") and not re.search(r"<|=\.\.\.", line):
                found.append(shlex.split(re.sub(r"\s+#.*", "", line))[2:])
    return found


def test_every_run_of_the_page_is_one_that_its_classes_take() -> None:
    assert len(runs_of_the_page()) > 15
    for overrides in runs_of_the_page():
        with hydra_session():
            cfg = compose("config", overrides, return_hydra_config=True)
            asked = request_of(cfg, dict(cfg.hydra.runtime.choices), overrides)
        if check(asked.tree, asked.raw) == "pinn":  # what depends on two slots, such as names of conditions
            with quiet():
                module_of(asked.tree, "pinn", trainer_of(asked.tree, None, []))


def test_what_the_page_says_of_a_finished_run_and_of_an_own_measurement_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["trainer.max_steps=1", "pinn.n_points=20", "pinn.n_val=20", "network.depth=1", "track.mode=disabled"]
    assert launch(["+experiment=daw2023r3/convection", *small]) == 0
    (row,) = tmp_path.rglob("row.json")
    solution, process, _ = re.split("gp = |operator = ", block("from sciml.run import load"))
    scope: dict[str, Any] = {}
    exec(compile(solution.replace("<run>", row.parent.name), "README.md", "exec"), scope)
    assert scope.pop("u").shape == (2, 1)
    small = ["trainer.max_steps=1", "pinn.points={x: 6, y: 5}", "pinn.problem.grid={x: 9, y: 9}", "pinn.n_val=20"]
    assert launch(["+experiment=fang2024gphm/poisson2d", *small, "track.mode=disabled"]) == 0
    (row,) = tmp_path.rglob("poisson2d/*/row.json")
    exec(compile("gp = " + process.replace("<run>", row.parent.name), "README.md", "exec"), scope)
    assert scope["u"].shape == (2, 1)
    np.savez("measured.npz", y=[1.0, 2.0], positions=[[0.1, 0.2], [0.5, 0.9]])
    (own,) = [words for words in runs_of_the_page() if "+experiment=baseline/observed" in words]
    exact = [word for word in own if "prior" not in word]  # here the prior in closed form
    assert launch([*exact, "track.mode=disabled", "diffusion.samples=4"]) == 0
    (kept,) = tmp_path.rglob("posterior.npz")
    assert {"samples", "mean", "std", "exact_mean", "exact_std"} <= set(np.load(kept))
