"""``sciml report`` and ``sciml compare``: on runs that were written by hand."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from report.runs import write_run

from sciml.render import number

from .conftest import Ended

COMMITTED = Path(__file__).parents[2] / "outputs"


def test_a_report_of_everything_holds_the_tables_that_have_rows(sciml: Callable[..., Ended], outputs: Path) -> None:
    shutil.copytree(COMMITTED / "daw2023r3", outputs / "daw2023r3")
    ended = sciml("report", "--outputs", str(outputs), "-o", "deep/page.html")
    assert ended.code == 0, ended
    html = Path("deep/page.html").read_text()
    assert "Convection: which points a PINN is trained on" in html
    assert "56.9 ± 9.1" in html
    assert html.count('<details class="run"') == len(list(outputs.rglob("row.json")))
    assert "http-equiv" not in html
    assert not [line for line in ended.err.splitlines() if "left out" in line]


def test_runs_are_chosen_by_experiment_by_part_of_a_path_and_by_folder(
    sciml: Callable[..., Ended], outputs: Path
) -> None:
    one, two = write_run(outputs, seed=1, err=0.1), write_run(outputs, seed=2, option="long")
    other = write_run(outputs, "doe2020x/other")

    def runs(*names: str) -> list[str]:
        assert sciml("report", *names, "--outputs", str(outputs)).code == 0
        html = Path("report.html").read_text()
        folders = (one, two, other)
        return [f.path.name for f in folders if f"<span>{f.path.relative_to(outputs)}</span>" in html]

    assert runs("doe2020x/case") == [one.path.name, two.path.name]
    assert runs("seed2") == [two.path.name]
    assert runs(str(other.path), "seed1") == [one.path.name, other.path.name]


def test_damaged_rows_are_named_and_left_out(sciml: Callable[..., Ended], outputs: Path) -> None:
    good, bad = write_run(outputs, seed=1), write_run(outputs, seed=2)
    bad.row.write_text(bad.row.read_text()[:80])
    ended = sciml("report", "--outputs", str(outputs))
    assert ended.code == 0
    html = Path("report.html").read_text()
    assert f"left out: {bad.row} is damaged" in " ".join(ended.err.split())
    assert html.count('<details class="run"') == 1
    assert good.path.name in html
    assert "is damaged" in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "holds no runs yet: nothing to report"), (("nobody2020/x",), "there is no run nobody2020/x")],
)
def test_what_is_not_there_is_refused_in_one_line(
    sciml: Callable[..., Ended], outputs: Path, arguments: tuple[str, ...], message: str
) -> None:
    outputs.mkdir()
    ended = sciml("report", *arguments, "--outputs", str(outputs))
    assert ended.code == 2
    assert message in ended.err
    assert not Path("report.html").exists()


def test_a_page_that_cannot_be_written_is_one_line(sciml: Callable[..., Ended], outputs: Path) -> None:
    write_run(outputs)
    Path("taken").write_text("")
    ended = sciml("report", "--outputs", str(outputs), "-o", "taken/page.html")
    assert ended.code == 1
    assert ended.err.startswith("error: ")


def test_compare_names_what_differs_and_only_that(sciml: Callable[..., Ended], outputs: Path) -> None:
    write_run(outputs, seed=1, err=0.1)
    write_run(outputs, seed=2, option="long", err=0.25)
    ended = sciml("compare", "seed1", "seed2", "--format", "json", "--outputs", str(outputs))
    assert ended.code == 0, ended
    found = json.loads(ended.out)
    assert found["config"] == {"pinn/points": ["a", "long"], "seed": [1, 2]}
    assert found["metrics"] == {"err": [0.1, 0.25]}
    assert found["cost"]["wall_seconds"] == [3.5, 4.5]
    text = sciml("compare", "seed1", "seed2", "--outputs", str(outputs)).out
    assert "pinn/points" in text
    assert "x 2.5" in text


def test_compare_gives_a_line_for_each_run_for_a_paper_and_a_spreadsheet(
    sciml: Callable[..., Ended], outputs: Path
) -> None:
    write_run(outputs, seed=1, err=0.1)
    write_run(outputs, seed=2, option="a|b_%", err=0.123456789)

    def said(form: str) -> str:
        return sciml("compare", "seed1", "seed2", "--format", form, "--outputs", str(outputs)).out

    first, second = csv.DictReader(io.StringIO(said("csv")))
    assert (first["pinn/points"], first["seed"], first["err"], first["wall_seconds"]) == ("a", "1", "0.1", "3.5")
    assert (second["pinn/points"], second["err"]) == ("a|b_%", "0.123456789")
    assert said("md").splitlines() == [
        "| pinn/points | seed | err |",
        "| --- | ---: | ---: |",
        "| a | 1 | 0.1 |",
        "| a\\|b_% | 2 | 0.1235 |",
    ]
    latex = said("latex").splitlines()
    assert latex[2:] == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"pinn/points & seed & err \\",
        r"\midrule",
        r"a & 1 & 0.1 \\",
        r"a\ensuremath{|}b\_\% & 2 & 0.1235 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert latex[0].startswith("% ")
    assert latex[0].endswith("seed1")
    same = sciml("compare", "seed1", "seed1", "--format", "md", "--outputs", str(outputs)).out
    assert same.startswith("| run | err |\n| --- | ---: |\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("seed1",), "name two runs or more"),
        (("seed1", "seed9"), "there is no run seed9"),
        (("seed1", "seed1", "--format", "xml"), "there is no format xml: text, csv, md, latex, json"),
    ],
)
def test_compare_refuses_in_one_line(
    sciml: Callable[..., Ended], outputs: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_run(outputs, seed=1)
    ended = sciml("compare", *arguments, "--outputs", str(outputs))
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.parametrize("form", ["latex", "html", "md", "csv", "json"])
def test_a_table_comes_in_every_format(sciml: Callable[..., Ended], outputs: Path, form: str) -> None:
    shutil.copytree(COMMITTED / "daw2023r3", outputs / "daw2023r3")
    ended = sciml("table", "daw2023r3/convection", "--no-run", "--format", form, "--outputs", str(outputs))
    assert ended.code == 0, ended
    assert "107.5" in ended.out
    rows = [json.loads(path.read_text()) for path in outputs.glob("daw2023r3/convection/*/row.json")]
    values = [
        100 * row["metrics"]["rel_l2"]
        for row in rows
        if row["choices"]["pinn/collocation"] == "r3" and "pinn.problem.equation.beta=30.0" in row["command"]
    ]
    assert len(values) == 3
    obtained = number(statistics.mean(values), statistics.stdev(values))
    expected = {"latex": obtained.replace("±", r"\pm"), "html": obtained, "md": obtained}
    assert expected.get(form, "PINN, uniform resampling") in ended.out


def test_seeds_and_rows_of_a_table_can_be_chosen(sciml: Callable[..., Ended], outputs: Path) -> None:
    shutil.copytree(COMMITTED / "daw2023r3", outputs / "daw2023r3")
    ended = sciml(
        "table", "daw2023r3/convection", "--no-run", "--only", "r3", "--seeds", "8", "--format", "json", "--outputs",
        str(outputs),
    )  # fmt: skip
    cells = {cell["row"]: cell["seeds"] for cell in json.loads(ended.out)}
    always = ("mean of the solution", "Lax and Wendroff, 512 points", "exact solution")
    assert cells == {**{key: [0] for key in always}, "R3": [0, 1, 2]}, "those that have rows"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "PINN, fixed"), "has no row 'PINN, fixed'; did you mean PINN, fixed points?"),
        (("--seeds", "0"), "--seeds must be at least 1, not 0"),
    ],
)
def test_rows_and_seeds_that_cannot_be_are_refused(
    sciml: Callable[..., Ended], outputs: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = sciml("table", "daw2023r3/convection", "--no-run", *arguments, "--outputs", str(outputs))
    assert ended.code == 2
    assert message in ended.err
