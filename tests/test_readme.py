"""What README promises: its example of a method is complete, and its commands exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from sciml.cli.launch import launch
from sciml.tablefile import parse

README = Path(__file__).parents[1] / "README.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_example_method_runs_in_four_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sciml.pinn.collocation as package

    _, method, test = blocks("python")
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
    (tmp_path / "fisher.py").write_text(blocks("python")[0])
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
