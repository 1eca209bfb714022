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

METRIC = Metric("err", "error", "||u - u*||_2 at ν ≤ 1/π with a_b & 5 % #1 ~ {x} ^2 \\ Δt → 0", "lower", "%", 100.0)


def table(columns: int, cost: tuple[str, ...] = ()) -> Report:
    names = ("β = 30", "ρ_5 & more")[:columns]
    grid = tuple(Column(name, (), None, METRIC, Tolerance(std=1)) for name in names)
    rows = (
        Line("nothing", "floor", (), None, None, (None,) * columns),
        Line("A_1 & B", "method", (), None, None, (Reported(10.5, 0.5),) * columns),
        Line("C", "method", (), None, None, (None,) * columns),
        Line("exact", "ceiling", (), None, None, (None,) * columns),
    )
    budget = Budget("desk", ("optimizer=soap", "a_b=1"), (0, 1))
    made = Table(
        "doe2020x/main_1", "A title with 100 %", "doe2020x", "x", Source("Doe & Co", "Table 7", "read"),
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


@pytest.mark.parametrize("cost", [(), ("wall_seconds", "steps")])
@pytest.mark.parametrize("columns", [1, 2])
def test_it_has_every_number_in_its_place(columns: int, cost: tuple[str, ...]) -> None:
    text = as_latex(table(columns, cost))
    width = 2 + len(cost)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [
        [entry.strip() for entry in line.removesuffix(r"\\").split(" & ")]
        for line in body.splitlines()
        if r"\\" in line
    ]
    assert {len(line) for line in lines if not line[-1].startswith(r"\multicolumn")} == {1 + width * columns}
    assert text.count(r"\begin{tabular}{l" + "r" * width * columns + "}") == 1
    by_name = {line[0]: line[1:] for line in lines}
    assert by_name[r"A_1 \& B".replace("_", r"\_")][:2] == [r"$10.5 \pm 0.5$", r"$3.0 \pm 1.4$"]
    # The best method is bold, in powers of ten that LaTeX can set; floors and ceilings never are.
    assert by_name["C"][:2] == ["--", r"\textbf{\boldmath $3.00 \cdot 10^{-7} \pm 7.1 \cdot 10^{-8}$}"]
    assert by_name[r"exact \emph{(ceiling)}"] == ["--"] * width * columns
    assert by_name["method"][2:width] == [key.replace("_", " ") for key in cost]
    assert by_name["C"][2:width] == [r"$1.25 \cdot 10^{-4}$" for _ in cost]
    assert "not comparable with reported ones" in text
    assert r"\label{tab:doe2020x-main-1}" in text


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
