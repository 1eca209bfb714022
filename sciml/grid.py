"""A paper's table as a grid: rows x columns x seeds of experiments, with the numbers that the paper reports.

A cell is one experiment with overrides; its runs differ in their seed only. Overrides of a cell, later
ones winning: those of the budget, the column, the column under this budget, the row, the row under this budget, the
user. Rows that are no method (``floor``: the trivial answer, ``ceiling``: the exact one) are not trained, so they
take neither the budget's overrides nor more than one seed unless they say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sciml.config import NEUTRAL

KINDS = ("method", "floor", "ceiling")
PAPER = "paper"  # the budget whose numbers may be held against the paper's
# Beside what is no part of a run's identity: where it runs, which a paper's number does not depend on.
_HARMLESS = (*NEUTRAL, "threads", "deterministic", "trainer.accelerator", "trainer.devices")


@dataclass(frozen=True)
class Metric:
    """A row's metric; printed values are ``scale`` times the filed ones, in ``unit``."""

    key: str
    label: str
    definition: str
    better: str
    unit: str = ""
    scale: float = 1.0

    @property
    def heading(self) -> str:
        """Label, unit and direction."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit}, {self.better} is better"


@dataclass(frozen=True)
class Source:
    """Where a reported number stands and whether it was read there or is quoted by others."""

    text: str
    where: str
    known: str

    def __str__(self) -> str:
        return f"{self.text}, {self.where} ({self.known})"


@dataclass(frozen=True)
class Reported:
    """A number of the paper, in the metric's unit; ``std`` over seeds where the paper has it."""

    mean: float
    source: Source
    std: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.10g}" + (f" ± {self.std:.10g}" if self.std is not None else "")


@dataclass(frozen=True)
class Tolerance:
    """How far from the reported value still counts as reproduced: the widest of what is stated.

    Args:
        std: In standard deviations of the reported value.
        relative: As a fraction of the reported value.
        absolute: In the metric's unit.
    """

    std: float = 0.0
    relative: float = 0.0
    absolute: float = 0.0

    def width(self, reported: Reported) -> float:
        """The accepted distance, in the metric's unit."""
        return max(self.std * (reported.std or 0.0), self.relative * abs(reported.mean), self.absolute)

    def __str__(self) -> str:
        parts = [
            f"{self.std:g} reported standard deviations" if self.std else "",
            f"{100 * self.relative:g} % of the reported value" if self.relative else "",
            f"{self.absolute:g}" if self.absolute else "",
        ]
        return " or ".join(filter(None, parts))


@dataclass(frozen=True)
class Budget:
    """How much each run may spend, as overrides, which seeds are run, and what a reader must know about both.

    ``like`` is the budget that it differs from; ``overrides`` has the other's as well.
    """

    name: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    note: str = ""
    like: str | None = None


@dataclass(frozen=True)
class Column:
    """What is asked of every method."""

    name: str
    overrides: tuple[str, ...]
    experiment: str | None
    metric: Metric
    tolerance: Tolerance
    budgets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # overrides under a budget, of methods only


@dataclass(frozen=True)
class Line:
    """A row of the table: a method, or what methods are judged against; ``reported`` has one entry per column."""

    name: str
    kind: str
    overrides: tuple[str, ...]
    experiment: str | None
    seeds: tuple[int, ...] | None
    reported: tuple[Reported | None, ...]
    budgets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # overrides under a budget only


@dataclass(frozen=True)
class Table:
    """A checked table file."""

    name: str
    title: str
    paper: str
    experiment: str
    source: Source
    budgets: Mapping[str, Budget]
    columns: tuple[Column, ...]
    rows: tuple[Line, ...]
    no_ceiling: str | None = None  # why no row is exact, where the truth cannot be had
    cost: tuple[str, ...] = ()  # what a run files of its cost and the table prints

    @property
    def experiments(self) -> set[str]:
        """The experiments of its methods; those of floors and ceilings may be shared with other tables."""
        methods = {line.experiment for line in self.rows if line.kind == "method"}
        found = {self.experiment, *methods, *(column.experiment for column in self.columns)}
        return {name for name in found if name}

    @property
    def file(self) -> str:
        """The file, as messages name it."""
        return f"table/{self.name}.yaml"


@dataclass(frozen=True)
class Cell:
    """One experiment with overrides, run with several seeds."""

    row: Line
    column: Column
    reported: Reported | None
    experiment: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def label(self) -> str:
        """Row and column, for messages."""
        return f"row '{self.row.name}', column '{self.column.name}'"


def key_of(override: str) -> str:
    """The key or group that an override sets."""
    return override.lstrip("+~").partition("=")[0]


def merge(*parts: Iterable[str]) -> tuple[str, ...]:
    """Overrides in one list; of two for the same key the later one stays."""
    return tuple({key_of(override): override for part in parts for override in part}.values())


def harmless(override: str) -> bool:
    """Whether an override leaves a number comparable: it says where or how a run is filed, not what is computed."""
    return any(key_of(override) == key or key_of(override).startswith(f"{key}.") for key in _HARMLESS)


def cells(table: Table, budget: Budget, extra: Sequence[str] = ()) -> list[Cell]:
    """The cells of a table, row by row.

    Args:
        table: The table.
        budget: One of its budgets.
        extra: The user's overrides; rows that are no method take only those that are harmless.
    """
    found = []
    for row in table.rows:
        own = (row.overrides, row.budgets.get(budget.name, ()))
        for i, column in enumerate(table.columns):
            if row.kind == "method":
                overrides = merge(budget.overrides, column.overrides, column.budgets.get(budget.name, ()), *own, extra)
            else:
                overrides = merge(column.overrides, *own, filter(harmless, extra))
            seeds = row.seeds or (budget.seeds if row.kind == "method" else budget.seeds[:1])
            experiment = row.experiment or column.experiment or table.experiment
            found.append(Cell(row, column, row.reported[i], experiment, overrides, seeds))
    return found
