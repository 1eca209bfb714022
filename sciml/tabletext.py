"""A judged table for a terminal: numbers stay whole and words unbroken at any width.

Where names and numbers do not fit side by side, a long name is wrapped between words, or stands above its numbers.
Text that goes elsewhere keeps one line for each remark, so that it can be searched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from sciml.render import MARKS, WARNING, above, below, fields, heading
from sciml.verdict import Report, Result

GAP = "  "
LEAST = 20  # characters of a name beside its numbers; where there is room for fewer it stands above them
_STYLES = {"reproduced": "green", "better": "bold green", "missing": "red", "short": "yellow"}


def as_text(report: Report, console: Console, *, wrap: bool) -> None:
    """Print it as a table for people.

    Args:
        report: The judged table.
        console: Where to.
        wrap: Whether remarks are wrapped to the console's width.
    """
    _remarks([report.table.title], console, wrap, "bold")
    for line in above(report):
        _remarks([line], console, wrap, "bold yellow" if line.endswith(WARNING) else "dim")
    grids = [_Grid(heading(report, column.metric.unit), report.of(column)) for column in report.table.columns]
    first = _room(grids, console.width)
    for column, grid in zip(report.table.columns, grids, strict=True):
        console.print()
        if len(grids) > 1:
            console.print(Text(column.name, style="bold"), soft_wrap=True)
        for line in grid.lines(first, console.width):
            console.print(line, soft_wrap=True)
    _remarks(below(report), console, wrap)


class _Grid:
    """One column of the paper's table.

    Args:
        head: Names of the printed columns, that of the methods first.
        results: One a method.
    """

    def __init__(self, head: Sequence[str], results: Sequence[Result]) -> None:
        self.results = results
        self.entries = [fields(result) for result in results]
        # A unit, or the second word of a cost, goes below the first.
        self.head = [head[0], *(name.replace(" ", "\n") for name in head[1:-1]), head[-1]]
        self.names = [_name(result) for result in results]
        self.widths = [
            max(len(part) for entry in column for part in entry.split("\n"))
            for column in zip(self.head[1:], *(entries[1:] for entries in self.entries), strict=True)
        ]

    @property
    def width(self) -> int:
        """Of what stands beside the names."""
        return sum(len(GAP) + width for width in self.widths)

    def lines(self, first: int, width: int) -> Iterator[Text]:
        """The printed lines.

        Args:
            first: Characters for the names; 0 puts each above its numbers.
            width: Characters of a line.
        """
        rule = Text("─" * (first + self.width), style="dim")
        yield from self._heading(first)
        yield rule
        method = None
        for result, name, entries in zip(self.results, self.names, self.entries, strict=True):
            if method not in (None, result.cell.row.kind == "method"):
                yield rule
            method = result.cell.row.kind == "method"
            judged = _STYLES.get(result.verdict.split()[0], "dim")
            numbers = self._numbers(entries[1:], ["", "bold", *[""] * (len(self.widths) - 3), judged])
            *before, last = textwrap.wrap(name, first or width, break_long_words=False)
            yield from map(Text, before)
            if first:
                yield Text(last.ljust(first)) + numbers
            else:
                yield Text(last)
                yield numbers
        yield rule

    def _heading(self, first: int) -> Iterator[Text]:
        parts = [name.split("\n") for name in self.head]
        height = max(map(len, parts))
        for i in range(height):
            name, *line = [part[j] if (j := i - height + len(part)) >= 0 else "" for part in parts]
            yield Text(name.ljust(first) if first else "", "bold") + self._numbers(line, ["bold"] * len(line))

    def _numbers(self, entries: Sequence[str], styles: Sequence[str]) -> Text:
        """What stands beside a name; the verdict, which is last, in words from the left."""
        text = Text()
        for i, (entry, style, width) in enumerate(zip(entries, styles, self.widths, strict=True), 1):
            text.append(GAP).append(entry if i == len(entries) else entry.rjust(width), style=style)
        return text


def _name(result: Result) -> str:
    mark = MARKS[result.cell.row.kind]
    return f"{result.cell.row.name} ({mark})" if mark else result.cell.row.name


def _room(grids: Sequence[_Grid], width: int) -> int:
    """Characters for the names beside their numbers, the same in all columns; 0 if that is too few."""
    longest = max(len(name) for grid in grids for name in (grid.head[0], *grid.names))
    room = width - max(grid.width for grid in grids)
    return min(longest, room) if room >= min(longest, LEAST) else 0


def _remarks(lines: Iterable[str], console: Console, wrap: bool, style: str = "") -> None:
    for line in lines:
        filled = textwrap.fill(
            line, console.width if wrap else max(1, len(line)), subsequent_indent="  ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        console.print(Text(filled, style=style), soft_wrap=True)
