"""Tables as LaTeX: compiled where there is a LaTeX, taken apart everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sciml.grid import Budget, Column, Line, Metric, Reported, Source, Table, Tolerance, cells
from sciml.latex import as_latex, escape
from sciml.verdict import Report, Result, verdict

SOURCE = Source("Doe & Co", "Table 7", "read")
METRIC = Metric("err", "error", "||u - u*||_2 at ν ≤ 1/π with a_b & 5 % #1 ~ {x} ^2 \\ Δt → 0", "lower", "%", 100.0)


def table(columns: int, cost: tuple[str, ...] = ()) -> Report:
    names = ("β = 30", "ρ_5 & more")[:columns]
    grid = tuple(Column(name, (), None, METRIC, Tolerance(std=1)) for name in names)
    rows = (
        Line("nothing", "floor", (), None, None, (None,) * columns),
        Line("A_1 & B", "method", (), None, None, (Reported(10.5, SOURCE, 0.5),) * columns),
        Line("C", "method", (), None, None, (None,) * columns),
        Line("exact", "ceiling", (), None, None, (None,) * columns),
    )
    budget = Budget("desk", ("optimizer=soap", "a_b=1"), (0, 1))
    made = Table(
        "doe2020x/main_1", "A title with 100 %", "doe2020x", "x", SOURCE,
        {"desk": budget}, grid, rows, cost=cost,
    )  # fmt: skip
    values = {"nothing": (100.0,), "A_1 & B": (2.0, 4.0), "C": (2.5e-7, 3.5e-7), "exact": ()}
    results = tuple(
        Result(
            cell,
            (0, 1)[: len(v)],
            v,
            1.0 if v else None,
            tuple(1.25e-4 if v else None for _ in cost),
            verdict(cell, v[0] if v else None, comparable=False),
            frozenset(),
        )
        for cell in cells(made, budget)
        if (v := values[cell.row.name]) is not None
    )
    return Report(made, "Doe", budget, (), results, ())


def parts(text: str) -> list[list[list[str]]]:
    """The lines of each tabular, in entries."""
    bodies = re.findall(r"\\toprule(.*?)\\bottomrule", text, re.DOTALL)
    return [
        [
            [entry.strip() for entry in line.removesuffix(r"\\").split(" & ")]
            for line in body.splitlines()
            if r"\\" in line and "multicolumn" not in line
        ]
        for body in bodies
    ]


BEST = r"\textbf{\boldmath $(3.00 \pm 0.71) \cdot 10^{-7}$}"
CHEAP = r"$1.25 \cdot 10^{-4}$"


@pytest.mark.parametrize("cost", [(), ("wall_seconds", "steps")])
def test_a_column_by_itself_has_all_that_is_known(cost: tuple[str, ...]) -> None:
    text = as_latex(table(1, cost))
    (lines,) = parts(text)
    assert lines[0] == ["", "reported", "obtained", "", *(["wall", ""] if cost else []), ""]
    assert lines[1] == ["method", r"[\%]", r"[\%]", "seeds", *(["seconds", "steps"] if cost else []), "s/run"]
    by_name = {line[0].removeprefix(r"\raggedright "): line[1:] for line in lines[2:]}
    assert by_name == {
        r"nothing \emph{(floor)}": ["--", "$100$", "1", *[CHEAP for _ in cost], "$1.0$"],
        r"A\_1 \& B": [r"$10.5 \pm 0.5$", r"$3.0 \pm 1.4$", "2", *[CHEAP for _ in cost], "$1.0$"],
        # The best method is bold, in powers of ten that LaTeX can set; floors and ceilings never are.
        "C": ["--", BEST, "2", *[CHEAP for _ in cost], "$1.0$"],
        r"exact \emph{(ceiling)}": ["--", "--", "0 of 1", *["--" for _ in cost], "--"],
    }
    assert r"100 \%. Error [\%], lower is better: " in text
    assert "not comparable with reported ones." in text
    assert r"\label{tab:doe2020x-main-1}" in text


def test_columns_stand_side_by_side_as_far_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciml.latex.TEXT", 400.0)
    (lines,) = parts(as_latex(table(2)))
    assert lines[1] == ["method", *[r"[\%]"] * 4]
    assert lines[4] == ["C", "--", BEST, "--", BEST]
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in as_latex(table(2))
    monkeypatch.setattr("sciml.latex.TEXT", 300.0)
    text = as_latex(table(2))
    assert [lines[1][3:] for lines in parts(text)] == [["seeds", "s/run"]] * 2
    assert r"A title with 100 \%, \ensuremath{\beta} = 30." in text
    assert r"\label{tab:doe2020x-main-1-2}" in text


def test_what_is_special_to_latex_is_escaped() -> None:
    assert escape("a_b & 5 % #1 {x}") == r"a\_b \& 5 \% \#1 \{x\}"
    assert escape("β ≤ π²") == r"\ensuremath{\beta} \ensuremath{\leq} \ensuremath{\pi}\ensuremath{^2}"
    assert re.sub(r"\\[a-z]+|\\[\\{}$&%#_]", "", escape("\\$~^<>±|")).count("\\") == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="needs pdflatex (Debian: apt install texlive-latex-recommended)"
)
@pytest.mark.parametrize("columns", [1, 2])
def test_it_compiles(columns: int, tmp_path: Path) -> None:
    document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(document % as_latex(table(columns, ("wall_seconds",))))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
