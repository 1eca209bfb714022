"""From rows to a judged table: means over seeds, a verdict per cell, and whether the paper's ordering holds.

With reported mean ``r``, obtained mean ``m`` over seeds and accepted distance ``t`` (the table's stated
tolerance), a cell is *reproduced* where ``|m - r| <= t``, else *better* or *short by* ``|m - r|``. Only a
number obtained under the paper's own budget is judged; under any other it is *not comparable*, whatever
its value. The ordering of the methods is judged under every budget.

The probability that the ordering holds is bootstrapped over seeds (Efron 1979): each method's values are
drawn with replacement, independently of the other methods', and the means are compared. Pairs that the
paper itself reports as equal are left out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from sciml.datafile import changed
from sciml.errors import UsageError
from sciml.folder import Row, RunFolder
from sciml.grid import PAPER, Budget, Cell, Column, Table, harmless

RESAMPLES = 2000
NOTHING = "nothing reported"


@dataclass(frozen=True)
class Result:
    """What was obtained for one cell, in the metric's unit.

    Args:
        cell: The cell.
        seeds: Seeds that have a row.
        values: One value per seed.
        seconds: Mean wall time of a run; None without rows.
        costs: Means of the costs that the table prints; None where no row has one.
        verdict: Obtained against reported.
        code: The commits that the rows were made by, a plus for those with local changes.
    """

    cell: Cell
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    seconds: float | None
    costs: tuple[float | None, ...]
    verdict: str
    code: frozenset[str]

    @property
    def mean(self) -> float | None:
        """Mean over seeds."""
        return fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Ordering:
    """Whether the methods of one column stand in the paper's order.

    Args:
        column: The column.
        methods: Names, best reported value first.
        pairs: How many pairs of methods the paper orders.
        kept: How many of them are ordered the same way by the obtained means.
        probability: That all pairs are, over resampled seeds; None where a method has a single seed.
        absent: Methods that the paper orders too and that have no row.
    """

    column: Column
    methods: tuple[str, ...]
    pairs: int
    kept: int
    probability: float | None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A table with all that was obtained for it.

    Args:
        table: The table.
        citation: The paper in words.
        budget: The budget the runs had.
        extra: The user's overrides.
        results: One per cell, row by row.
        damaged: A message for each row file that was left out.
        changed: A message for each data file that is not what it was when a run read it.
    """

    table: Table
    citation: str
    budget: Budget
    extra: tuple[str, ...]
    results: tuple[Result, ...]
    damaged: tuple[str, ...]
    changed: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether methods were run as the paper ran them."""
        return comparable(self.budget, self.extra)

    def of(self, column: Column) -> list[Result]:
        """The results of one column."""
        return [result for result in self.results if result.cell.column is column]

    @property
    def orderings(self) -> list[Ordering]:
        """One for each column in which two methods or more can be ordered."""
        found = (ordering(column, self.of(column)) for column in self.table.columns)
        return [order for order in found if order is not None]

    @property
    def below_floor(self) -> list[tuple[Result, Result]]:
        """Methods that are no better than a trivial row of their column, with that row."""
        return [
            (method, floor)
            for column in self.table.columns
            for method in self.of(column)
            for floor in self.of(column)
            if method.cell.row.kind == "method"
            and floor.cell.row.kind == "floor"
            and method.mean is not None
            and floor.mean is not None
            and not _beats(column.metric.better, method.mean, floor.mean)
        ]


def comparable(budget: Budget, extra: Sequence[str]) -> bool:
    """Whether numbers under this budget and these overrides of the user may be held against the paper's."""
    return budget.name == PAPER and all(map(harmless, extra))


def collect(
    table: Table,
    citation: str,
    budget: Budget,
    extra: Sequence[str],
    cells: Iterable[Cell],
    folders: Mapping[tuple[str, str, int], RunFolder],
) -> Report:
    """Read the rows of all cells and judge them. Damaged rows are named and left out.

    Args:
        table: The table.
        citation: The paper in words.
        budget: The budget of the cells.
        extra: The user's overrides.
        cells: The cells.
        folders: The run folder for each row name, column name and seed.

    Raises:
        UsageError: A row does not have the metric that the table asks for, or a method's lacks a cost.
    """
    results, damaged, rows = [], [], []
    for cell in cells:
        seeds, values, seconds, code = [], [], [], set()
        costs: list[list[Any]] = [[] for _ in table.cost]
        for seed in cell.seeds:
            folder = folders[cell.row.name, cell.column.name, seed]
            try:
                row = row_of(folder)
            except UsageError as error:
                damaged.append(str(error))
                continue
            if row is not None:
                rows.append(row)
                seeds.append(seed)
                values.append(value(table, cell, row))
                seconds.append(row.get("wall_seconds"))
                for key, found in zip(table.cost, costs, strict=True):
                    found.append(_cost(table, cell, row, key))
                if commit := row.get("commit"):
                    code.add(f"{str(commit)[:9]}{'+' if row.get('dirty') else ''}")
        fair = comparable(budget, extra) or cell.row.kind != "method"
        results.append(
            Result(
                cell=cell,
                seeds=tuple(seeds),
                values=tuple(values),
                seconds=_mean(seconds),
                costs=tuple(map(_mean, costs)),
                verdict=verdict(cell, fmean(values) if values else None, comparable=fair),
                code=frozenset(code),
            )
        )
    return Report(
        table, citation, budget, tuple(extra), tuple(results), tuple(dict.fromkeys(damaged)), tuple(changed(rows))
    )


def _mean(found: Iterable[Any]) -> float | None:
    """The mean of those that are numbers."""
    known = [n for n in found if isinstance(n, (int, float)) and not isinstance(n, bool)]
    return fmean(known) if known else None


def _cost(table: Table, cell: Cell, row: Row, key: str) -> Any:
    filed = row.get("cost", {})
    if key not in filed and cell.row.kind == "method":
        has = ", ".join(filed)
        raise UsageError(f"{table.file}: {cell.label}: {cell.experiment} files no cost {key}; it has {has}")
    return filed.get(key)


def row_of(folder: RunFolder) -> Row | None:
    """The row of a run folder, None where there is none.

    Raises:
        UsageError: The file is damaged, or holds the row of another run.
    """
    row = folder.read_row()
    if row is None:
        return None
    name = f"{row['hash']}-seed{row['seed']}"
    if name != folder.path.name:
        raise UsageError(f"{folder.row} is damaged: it is the row of {name}")
    for key, number in row["metrics"].items():
        if not math.isfinite(number):
            raise UsageError(f"{folder.row} is damaged: its metric '{key}' is {number}, not a number")
    return row


def value(table: Table, cell: Cell, row: Mapping[str, Any]) -> float:
    """The cell's metric of one row, in the metric's unit.

    Raises:
        UsageError: The row has no such metric.
    """
    metric = cell.column.metric
    if metric.key not in row["metrics"]:
        has = ", ".join(row["metrics"])
        raise UsageError(f"{table.file}: {cell.label}: {cell.experiment} files no metric {metric.key}; it has {has}")
    return metric.scale * row["metrics"][metric.key]


def verdict(cell: Cell, mean: float | None, *, comparable: bool) -> str:
    """Judge one cell.

    Args:
        cell: The cell, with its reported value.
        mean: What was obtained; None if nothing was.
        comparable: Whether it was obtained under the paper's budget.
    """
    if mean is None:
        return "missing"
    if cell.reported is None:
        return NOTHING
    if not comparable:
        return "not comparable"
    distance, metric = abs(mean - cell.reported.mean), cell.column.metric
    # Rounding in the last bits must not decide.
    if distance <= cell.column.tolerance.width(cell.reported) * (1 + 1e-9):
        return "reproduced"
    if _beats(metric.better, mean, cell.reported.mean):
        return "better"
    return f"short by {distance:.3g}{f' {metric.unit}' if metric.unit else ''}"


def ordering(column: Column, results: Iterable[Result]) -> Ordering | None:
    """Hold the order of the obtained means against the order of the reported ones; None without a pair."""
    better = column.metric.better
    told = [(r, r.cell.reported.mean) for r in results if r.cell.row.kind == "method" and r.cell.reported]
    known = [item for item in told if item[0].values]
    absent = tuple(r.cell.row.name for r, _ in told if not r.values)
    known.sort(key=lambda item: item[1] if better == "lower" else -item[1])
    methods = [result for result, _ in known]
    pairs = [(i, j) for i, j in combinations(range(len(known)), 2) if known[i][1] != known[j][1]]
    if not pairs:
        return None

    def kept(means: Sequence[float]) -> int:
        return sum(_beats(better, means[i], means[j]) for i, j in pairs)

    probability = None
    if all(len(method.values) > 1 for method in methods):
        draw = random.Random(0)
        hits = 0
        for _ in range(RESAMPLES):
            hits += kept([fmean(draw.choices(m.values, k=len(m.values))) for m in methods]) == len(pairs)
        probability = hits / RESAMPLES
    obtained = kept([fmean(method.values) for method in methods])
    return Ordering(column, tuple(m.cell.row.name for m in methods), len(pairs), obtained, probability, absent)


def _beats(better: str, first: float, second: float) -> bool:
    return first < second if better == "lower" else first > second
