"""A judged table as text for the terminal, Markdown, CSV or JSON.

Numbers are printed in the metric's unit; reported ones as the table file has them, obtained ones with two
digits of their spread. What is not under the paper's budget says so above the table, not only in a cell.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from sciml.grid import PAPER, merge
from sciml.verdict import Report, Result

WARNING = "not comparable with reported ones"
MARKS = {"method": "", "floor": "floor", "ceiling": "ceiling"}
_STYLES = {"reproduced": "green", "better": "bold green", "missing": "red", "short": "yellow"}


def number(mean: float, std: float | None = None) -> str:
    """An obtained value: three digits, or two digits of its spread."""
    if mean == 0 and not std:
        return "0" if std is None else "0 ± 0"
    if mean and not 1e-3 <= abs(mean) < 1e5:
        return f"{mean:.2e}" + (f" ± {std:.1e}" if std is not None else "")
    digits = max(0, 2 - math.floor(math.log10(abs(mean)))) if mean else 2
    if std:
        digits = min(max(0, 1 - math.floor(math.log10(std))), digits + 1)
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def cells(report: Report) -> list[dict[str, Any]]:
    """Every cell as plain data; numbers in the metric's unit."""
    return [
        {
            "row": r.cell.row.name,
            "column": r.cell.column.name,
            "metric": r.cell.column.metric.key,
            "budget": report.budget.name,
            "seeds": list(r.seeds),
            "values": list(r.values),
            "mean": r.mean,
            "std": r.std,
            "reported": {"mean": r.cell.reported.mean, "std": r.cell.reported.std} if r.cell.reported else None,
            "source": str(report.table.source) if r.cell.reported else None,
            "costs": dict(zip(report.table.cost, r.costs, strict=True)),
            "verdict": r.verdict,
        }
        for r in report.results
    ]


def as_json(report: Report) -> str:
    """A list of cells."""
    return json.dumps(cells(report), indent=1, ensure_ascii=False) + "\n"


def as_csv(report: Report) -> str:
    """One line per cell; lists are separated by blanks."""
    head = "row kind column metric unit budget seeds values mean std reported_mean reported_std source verdict"
    file = io.StringIO()
    names = [*head.split(), "seconds_per_run", *report.table.cost]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for cell, result in zip(cells(report), report.results, strict=True):
        reported, costs = cell.pop("reported") or {}, cell.pop("costs")
        more = {
            "kind": result.cell.row.kind,
            "unit": result.cell.column.metric.unit,
            "seeds": " ".join(map(str, cell["seeds"])),
            "values": " ".join(map(repr, cell["values"])),
            "reported_mean": reported.get("mean"),
            "reported_std": reported.get("std"),
            "seconds_per_run": None if result.seconds is None else round(result.seconds, 1),
        }
        writer.writerow({**cell, **more, **costs})
    return file.getvalue()


def as_markdown(report: Report) -> str:
    """A heading, what the reader must know, one table per column of the paper's table, remarks."""
    lines = [f"## {report.table.title}", "", *(f"{line}  " for line in above(report)), ""]
    for column in report.table.columns:
        if len(report.table.columns) > 1:
            lines += [f"### {column.name}", ""]
        head = heading(report, column.metric.unit)
        lines += [_md(head), _md(["---", *["---:"] * (len(head) - 2), "---"])]
        for result in report.of(column):
            mark = MARKS[result.cell.row.kind]
            name, *rest = fields(result)
            lines.append(_md([f"{name} *({mark})*" if mark else name, *rest]))
        lines.append("")
    lines += [f"- {line}" for line in below(report)]
    return "\n".join(lines).rstrip() + "\n"


def as_text(report: Report, console: Console) -> None:
    """Print it as a table for people."""
    for part in _text(report):
        console.print(part, soft_wrap=not isinstance(part, RichTable))


def _text(report: Report) -> Iterator[RenderableType]:
    yield Text(report.table.title, style="bold")
    for line in above(report):
        yield Text(line, style="bold yellow" if line.endswith(WARNING) else "dim")
    for column in report.table.columns:
        several = len(report.table.columns) > 1
        grid = RichTable(title=escape(column.name) if several else None, title_justify="left", header_style="bold")
        for i, name in enumerate(head := heading(report, column.metric.unit)):
            grid.add_column(escape(name), justify="right" if 0 < i < len(head) - 1 else "left", overflow="fold")
        kind = None
        for result in report.of(column):
            if kind is not None and (kind == "method") != (result.cell.row.kind == "method"):
                grid.add_section()
            kind = result.cell.row.kind
            name, was, got, *rest, judged = map(escape, fields(result))
            mark = f" [dim]({MARKS[kind]})[/]" if kind != "method" else ""
            style = _STYLES.get(result.verdict.split()[0], "dim")
            grid.add_row(f"{name}{mark}", was, f"[bold]{got}[/]", *rest, f"[{style}]{judged}[/]")
        yield grid
    remarks = [Text(line) for line in below(report)]
    if remarks:
        yield Group(*remarks)


def amount(cost: float | None) -> str:
    """A cost: a count in full, anything else with three digits."""
    if cost is None:
        return "-"
    return f"{cost:.0f}" if cost == round(cost) else number(cost)


def heading(report: Report, unit: str) -> list[str]:
    """Names of the printed columns."""
    suffix = f" [{unit}]" if unit else ""
    costs = (key.replace("_", " ") for key in report.table.cost)
    return ["method", f"reported{suffix}", f"obtained{suffix}", "seeds", *costs, "s/run", "verdict"]


def fields(result: Result) -> list[str]:
    """One printed line: method, reported, obtained, seeds, costs, seconds a run, verdict."""
    wanted, have = len(result.cell.seeds), len(result.seeds)
    return [
        result.cell.row.name,
        str(result.cell.reported or "-"),
        "-" if result.mean is None else number(result.mean, result.std),
        str(have) if have == wanted else f"{have} of {wanted}",
        *map(amount, result.costs),
        "-" if result.seconds is None else f"{result.seconds:.1f}" if result.seconds < 100 else f"{result.seconds:.0f}",
        result.verdict,
    ]


def above(report: Report) -> Iterator[str]:
    """What a reader must know before the numbers."""
    table, budget = report.table, report.budget
    yield report.citation
    overrides = " ".join(merge(budget.overrides, report.extra)) or "as the experiment has it"
    yield f"budget {budget.name}: {overrides}; seeds {' '.join(map(str, budget.seeds))}"
    if not report.comparable:
        why = "with these overrides this is" if budget.name == PAPER else "this is"
        yield f"{why} not the paper's budget: obtained numbers are {WARNING}"
    for metric in dict.fromkeys(column.metric for column in table.columns):
        yield f"metric: {metric.heading}; {metric.definition}"
    yield f"reported: {table.source}"
    if table.no_ceiling:
        yield f"no ceiling: {table.no_ceiling}"
    for tolerance in dict.fromkeys(column.tolerance for column in table.columns) if report.comparable else ():
        yield f"reproduced: within {tolerance} of the reported value"


def below(report: Report) -> Iterator[str]:
    """What follows from the numbers, and what was left out."""
    several = len(report.table.columns) > 1
    for order in report.orderings:
        sign = " < " if order.column.metric.better == "lower" else " > "
        holds = "holds" if order.kept == order.pairs else f"does not hold, {order.kept} of its {order.pairs} pairs do"
        sure = "one seed cannot say how surely"
        if order.probability is not None:
            sure = f"it holds with probability {order.probability:.2f} over resampled seeds"
        where = f", {order.column.name}" if several else ""
        yield f"order in the paper{where}: {sign.join(order.methods)}: {holds}; {sure}"
    weak: dict[str, list[str]] = {}
    for method, floor in report.below_floor:
        where = f", {method.cell.column.name}" if several else ""
        weak.setdefault(f"{floor.cell.row.name}{where}", []).append(method.cell.row.name)
    for floor_name, methods in weak.items():
        yield f"no better than the floor ({floor_name}): {'; '.join(methods)}"
    if report.budget.note:
        yield f"budget {report.budget.name}: {report.budget.note}"
    code = sorted({commit for result in report.results for commit in result.code})
    if len(code) > 1:
        yield f"rows by {len(code)} states of the code: {', '.join(code)}"
    for message in report.damaged:
        yield f"left out: {message}"


def _md(entries: list[str]) -> str:
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"
