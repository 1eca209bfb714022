"""A judged table as Markdown, CSV or JSON, and the words that all formats share.

Numbers are printed in the metric's unit; reported ones as the table file has them, obtained ones with two
digits of their spread. What is not under the paper's budget says so above the table, not only in a cell.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sciml.grid import PAPER, Column, Table, merge
from sciml.verdict import NOTHING, Ordering, Report, Result

WARNING = "not comparable with reported ones"
MARKS = {"method": "", "floor": "floor", "ceiling": "ceiling"}


def number(mean: float, std: float | None = None) -> str:
    """An obtained value: three digits, or two digits of its spread; both with one power of ten where it is needed."""
    if mean == 0 and not std:
        return "0" if std is None else "0 ± 0"
    if mean and not 1e-3 <= abs(mean) < 1e5:
        if std is None:
            return f"{mean:.2e}"
        power = math.floor(math.log10(max(abs(mean), std)))
        return f"({number(mean / 10.0**power, std / 10.0**power)})e{power:+03d}"
    digits = max(0, 2 - math.floor(math.log10(abs(mean)))) if mean else 2
    if std:
        digits = min(max(0, 1 - math.floor(math.log10(std))), digits + 1)
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def cells(report: Report) -> list[dict[str, Any]]:
    """Every cell as plain data; numbers in the metric's unit, and how the order of its column's methods stands."""
    orders = {order.column.name: order for order in report.orderings}
    return [
        {
            "row": r.cell.row.name,
            "kind": r.cell.row.kind,
            "column": r.cell.column.name,
            "metric": r.cell.column.metric.key,
            "unit": r.cell.column.metric.unit,
            "better": r.cell.column.metric.better,
            "budget": report.budget.name,
            "seeds": list(r.seeds),
            "values": list(r.values),
            "mean": r.mean,
            "std": r.std,
            "reported": {"mean": r.cell.reported.mean, "std": r.cell.reported.std} if r.cell.reported else None,
            "source": str(r.cell.reported.source) if r.cell.reported else None,
            "seconds_per_run": None if r.seconds is None else round(r.seconds, 1),
            "costs": dict(zip(report.table.cost, r.costs, strict=True)),
            "verdict": r.verdict,
            "order": _order(orders.get(r.cell.column.name)),
        }
        for r in report.results
    ]


def _order(order: Ordering | None) -> dict[str, Any] | None:
    return order and {"pairs": order.pairs, "kept": order.kept, "probability": order.probability}


def as_json(report: Report) -> str:
    """A list of cells."""
    return json.dumps(cells(report), indent=1, ensure_ascii=False) + "\n"


def as_csv(report: Report) -> str:
    """One line per cell; lists are separated by blanks."""
    head = "row kind column metric unit better budget seeds values mean std reported_mean reported_std source verdict"
    file = io.StringIO()
    names = [*head.split(), "seconds_per_run", "order_pairs", "order_kept", "order_probability", *report.table.cost]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for cell in cells(report):
        nested = {"reported": ("mean", "std"), "order": ("pairs", "kept", "probability")}
        flat = {f"{key}_{part}": (cell[key] or {}).get(part) for key, parts in nested.items() for part in parts}
        plain = {key: value for key, value in cell.items() if key not in nested and key != "costs"}
        lists = {"seeds": " ".join(map(str, cell["seeds"])), "values": " ".join(map(repr, cell["values"]))}
        writer.writerow({**plain, **lists, **flat, **cell["costs"]})
    return file.getvalue()


def as_markdown(report: Report) -> str:
    """A heading, what the reader must know, one table per column of the paper's table, remarks."""
    lines = [f"## {report.table.title}", "", *(f"{line}  " for line in above(report)), ""]
    for column in report.table.columns:
        if len(report.table.columns) > 1:
            lines += [f"### {column.name}", ""]
        head = heading(report, column.metric.unit)
        lines += [markdown_row(head), markdown_row(["---", *["---:"] * (len(head) - 2), "---"])]
        for result in report.of(column):
            mark = MARKS[result.cell.row.kind]
            name, *rest = fields(result)
            lines.append(markdown_row([f"{name} *({mark})*" if mark else name, *rest]))
        lines.append("")
    lines += [f"- {line}" for line in below(report)]
    return "\n".join(lines).rstrip() + "\n"


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
        "-" if result.verdict == NOTHING else result.verdict,  # as its reported number is
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
    yield from _by_column("metric", {c.name: f"{c.metric.heading}; {c.metric.definition}" for c in table.columns})
    yield from _sources(table)
    if table.no_ceiling:
        yield f"no ceiling: {table.no_ceiling}"
    if report.comparable:
        yield from _by_column(
            "reproduced", {c.name: f"within {c.tolerance} of the reported value" for c in table.columns}
        )


def _by_column(what: str, said: Mapping[str, str]) -> Iterator[str]:
    """What is said of each column, a line each; once if it is the same for all."""
    for columns, text in grouped(said):
        yield f"{what}, {columns}: {text}" if columns else f"{what}: {text}"


def grouped(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each text once, with the names of the columns that it is said of before it; no names if that is all of them."""
    for text in dict.fromkeys(said.values()):
        columns = [name for name, other in said.items() if other == text]
        yield "" if len(columns) == len(said) else ", ".join(columns), text


def _sources(table: Table) -> Iterator[str]:
    """Where the reported numbers stand: the table's source, and the rows that have another."""
    others: dict[str, dict[str, None]] = {}
    own = False
    for row in table.rows:
        for column, reported in zip(table.columns, row.reported, strict=True):
            if reported is None or reported.source == table.source:
                own = own or reported is not None
                continue
            alike = {r.source for r in row.reported if r is not None} == {reported.source}
            label = row.name if alike else f"{row.name} ({column.name})"
            others.setdefault(str(reported.source), {})[label] = None
    if own:
        yield f"reported: {table.source}"
    elif not others:
        yield f"reported: nothing ({table.source.text}: {table.source.where})"
    for source, labels in others.items():
        yield f"reported, {'; '.join(labels)}: {source}"


def below(report: Report) -> Iterator[str]:
    """What follows from the numbers, and what was left out."""
    several = len(report.table.columns) > 1
    for column in report.table.columns:
        yield from orders(report, column)
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


def orders(report: Report, column: Column) -> Iterator[str]:
    """Whether the paper's order holds in a column, if it has one."""
    for order in (found for found in report.orderings if found.column is column):
        sign = " < " if column.metric.better == "lower" else " > "
        holds = "holds" if order.kept == order.pairs else f"does not hold, {order.kept} of its {order.pairs} pairs do"
        sure = "one seed cannot say how surely"
        if order.probability is not None:
            sure = f"it holds with probability {order.probability:.2f} over resampled seeds"
        where = f", {column.name}" if len(report.table.columns) > 1 else ""
        absent = f" (without {'; '.join(order.absent)}, not run yet)" if order.absent else ""
        yield f"order in the paper{where}: {sign.join(order.methods)}{absent}: {holds}; {sure}"


def markdown_row(entries: Sequence[str]) -> str:
    """One line of a table in Markdown."""
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"
