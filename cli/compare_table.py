"""Runs for a paper or a spreadsheet: a line for each, a column for all that differs and for what came of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import screen

Columns = Mapping[str, Sequence[Any]]


def as_csv(labels: Sequence[str], parts: Mapping[str, Columns]) -> str:
    """All columns, numbers as they are filed; empty where a run has none."""
    columns = {name: values for part in parts.values() for name, values in part.items()}
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["run", *columns])
    lines.writerows([label, *row] for label, row in zip(labels, zip(*columns.values(), strict=True), strict=True))
    return text.getvalue()


def as_markdown(labels: Sequence[str], parts: Mapping[str, Columns]) -> str:
    """What differs, and the metrics of the last weights."""
    from sciml.render import markdown_row

    head, body = _cells(labels, parts)
    rule = ["---" if text else "---:" for text in _textual(parts)]
    return "".join(f"{markdown_row(line)}\n" for line in [head, rule, *body])


def as_latex(labels: Sequence[str], parts: Mapping[str, Columns]) -> str:
    """The same as a ``tabular`` for a document that loads ``booktabs``."""
    from sciml.latex import escape

    head, body = _cells(labels, parts)
    form = "".join("l" if text else "r" for text in _textual(parts))
    lines = [" & ".join(map(escape, line)) + r" \\" for line in [head, *body]]
    runs = "".join(f"% {label}\n" for label in labels)
    inside = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"{runs}\\begin{{tabular}}{{{form}}}\n{inside}\n\\end{{tabular}}\n"


FORMS: dict[str, Callable[[Sequence[str], Mapping[str, Columns]], str]] = {
    "csv": as_csv,
    "md": as_markdown,
    "latex": as_latex,
}


def _shown(parts: Mapping[str, Columns]) -> dict[str, Sequence[Any]]:
    metrics = {name: values for name, values in parts["metrics"].items() if not name.startswith("best/")}
    return {**parts["config"], **metrics}


def _textual(parts: Mapping[str, Columns]) -> list[bool]:
    """Of every column, whether it is text, which stands to the left; the first has the runs, if nothing differs."""
    numeric = [all(value is None or isinstance(value, (int, float)) for value in v) for v in _shown(parts).values()]
    return [*([] if parts["config"] else [True]), *(not number for number in numeric)]


def _cells(labels: Sequence[str], parts: Mapping[str, Columns]) -> tuple[list[str], list[list[str]]]:
    columns = _shown(parts) if parts["config"] else {"run": labels, **_shown(parts)}
    return list(columns), [[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return screen.number(value) if isinstance(value, float) else str(value)
