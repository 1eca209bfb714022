"""From the plain tree of a table file to a :class:`sciml.grid.Table`; every mistake is named with its place.

Keys of the file (those in brackets may be left out)::

    title: text
    paper: name of a file in conf/paper
    experiment: <paper>/<case>, of every row and column that names none
    metric: {key, label, definition, better: lower|higher, [unit], [scale]}
    source: {text, where, known: read|second-hand}, of every number that says nothing else
    tolerance: {[std], [relative], [absolute]}, at least one
    budgets: {paper: {overrides, seeds, [note]}, desk: {overrides, seeds, [note]}, long: {like: desk, ...}, ...}
    like of a budget: one above it; what is overridden there, in rows and columns too, comes before what is said here
    columns: list of {name, [overrides], [budgets], [experiment], [metric], [tolerance]}
    [no_ceiling]: why no row can have kind: ceiling, text
    [cost]: list of costs that a run files and the table prints, such as [network_evaluations, parameters]
    rows: list of {name, [kind: method|floor|ceiling], [overrides], [budgets], [experiment], [seeds], [source],
          reported}
    budgets of a row: overrides under a budget only, {desk: overrides, ...}, such as as many steps as take the same time
    budgets of a column: the same, for all its methods, such as the points that its problem needs; a row's come after it
    reported: list with one entry per column: {mean, [std], [source]}, or null where nobody has read the number;
              rows that are no method may leave it out
    source of a row or of a number: those of text, where and known in which it differs from the one above it
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from sciml.config import did_you_mean
from sciml.errors import UsageError
from sciml.grid import KINDS, PAPER, Budget, Column, Line, Metric, Reported, Source, Table, Tolerance, key_of, merge

_Item = TypeVar("_Item")
_SOURCE = ("text", "where", "known")


def parse(name: str, tree: Any) -> Table:
    """Check the content of a table file.

    Args:
        name: ``paper/table``, for messages and the table's name.
        tree: What the file holds.

    Raises:
        UsageError: A key is unknown or missing, a value has the wrong type, or the grid is ragged.
    """
    try:
        return _table(name, tree)
    except _Mistake as error:
        raise UsageError(f"table/{name}.yaml: {error}") from None


class _Mistake(Exception):
    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)


def _table(name: str, tree: Any) -> Table:
    required = ("title", "paper", "experiment", "metric", "source", "tolerance", "budgets", "columns", "rows")
    node = _fields("", tree, required, ("no_ceiling", "cost"))
    metric, tolerance = _metric("metric", node["metric"]), _tolerance("tolerance", node["tolerance"])
    budgets, source = _budgets(node["budgets"]), _source(node["source"])
    columns = _list("columns", node["columns"], lambda place, item: _column(place, item, budgets, metric, tolerance))
    rows = _list("rows", node["rows"], lambda place, item: _row(place, item, columns, budgets, source))
    for what, items in (("columns", columns), ("rows", rows)):
        seen = [item.name for item in items]
        for twice in (n for n in seen if seen.count(n) > 1):
            raise _Mistake(what, f"the name '{twice}' is there twice")
    for kind, meaning in (("floor", "the trivial answer"), ("ceiling", "the exact one")):
        there = any(row.kind == kind for row in rows)
        if kind == "ceiling" and "no_ceiling" in node:
            if there:
                raise _Mistake("no_ceiling", "a row has kind: ceiling; leave one of them out")
        elif not there:
            raise _Mistake("rows", f"none has kind: {kind} ({meaning}), which every table carries")
    return Table(
        name=name,
        title=_text("title", node["title"]),
        paper=_name("paper", node["paper"]),
        experiment=_name("experiment", node["experiment"]),
        source=source,
        budgets=budgets,
        columns=columns,
        rows=rows,
        no_ceiling=_text("no_ceiling", node["no_ceiling"]) if "no_ceiling" in node else None,
        cost=_list("cost", node["cost"], _text) if "cost" in node else (),
    )


def _metric(place: str, tree: Any) -> Metric:
    node = _fields(place, tree, ("key", "label", "definition", "better"), ("unit", "scale"))
    scale = _number(f"{place}.scale", node.get("scale", 1.0))
    if scale <= 0:
        raise _Mistake(f"{place}.scale", f"must be positive, not {scale:g}")
    return Metric(
        key=_text(f"{place}.key", node["key"]),
        label=_text(f"{place}.label", node["label"]),
        definition=_text(f"{place}.definition", node["definition"]),
        better=_choice(f"{place}.better", node["better"], ("lower", "higher")),
        unit=_text(f"{place}.unit", node["unit"]) if "unit" in node else "",
        scale=scale,
    )


def _source(tree: Any) -> Source:
    node = _fields("source", tree, _SOURCE)
    return _source_parts("source", node)


def _own_source(place: str, node: dict[str, Any], above: Source) -> Source:
    """The source that a row or a number names in part, the rest from the one above it."""
    if "source" not in node:
        return above
    place = f"{place}: source"
    given = _fields(place, node["source"], (), _SOURCE)
    return _source_parts(place, {key: given.get(key, getattr(above, key)) for key in _SOURCE})


def _source_parts(place: str, node: dict[str, Any]) -> Source:
    return Source(
        text=_text(f"{place}.text", node["text"]),
        where=_text(f"{place}.where", node["where"]),
        known=_choice(f"{place}.known", node["known"], ("read", "second-hand")),
    )


def _tolerance(place: str, tree: Any) -> Tolerance:
    node = _fields(place, tree, (), ("std", "relative", "absolute"))
    parts = {key: _number(f"{place}.{key}", value) for key, value in node.items()}
    if not parts or min(parts.values()) < 0 or max(parts.values()) == 0:
        raise _Mistake(place, "must state std, relative or absolute as a positive number")
    return Tolerance(**parts)


def _budgets(tree: Any) -> dict[str, Budget]:
    if not isinstance(tree, dict) or PAPER not in tree:
        raise _Mistake("budgets", f"must be a mapping that has the budget '{PAPER}'")
    found: dict[str, Budget] = {}
    for name, item in tree.items():
        place = f"budgets.{name}"
        node = _fields(place, item, ("overrides", "seeds"), ("note", "like"))
        like = _choice(f"{place}.like", node["like"], found) if "like" in node else None
        overrides = _overrides(f"{place}.overrides", node["overrides"])
        found[str(name)] = Budget(
            str(name),
            merge(found[like].overrides if like else (), overrides),
            _seeds(f"{place}.seeds", node["seeds"]),
            _text(f"{place}.note", node["note"]) if "note" in node else "",
            like,
        )
    return found


def _column(place: str, tree: Any, budgets: Mapping[str, Budget], metric: Metric, tolerance: Tolerance) -> Column:
    node = _fields(place, tree, ("name",), ("overrides", "budgets", "experiment", "metric", "tolerance"))
    name = _text(f"{place}.name", node["name"])
    place = f"{place} '{name}'"
    return Column(
        name=name,
        overrides=_overrides(f"{place}: overrides", node.get("overrides", [])),
        experiment=_name(f"{place}: experiment", node["experiment"]) if "experiment" in node else None,
        metric=_metric(f"{place}: metric", node["metric"]) if "metric" in node else metric,
        tolerance=_tolerance(f"{place}: tolerance", node["tolerance"]) if "tolerance" in node else tolerance,
        budgets=_budgeted(place, node, budgets),
    )


def _row(place: str, tree: Any, columns: tuple[Column, ...], budgets: Mapping[str, Budget], source: Source) -> Line:
    optional = ("kind", "overrides", "budgets", "experiment", "seeds", "source", "reported")
    node = _fields(place, tree, ("name",), optional)
    name = _text(f"{place}.name", node["name"])
    place = f"{place} '{name}'"
    kind = _choice(f"{place}: kind", node.get("kind", "method"), KINDS)
    if "reported" not in node and kind == "method":
        raise _Mistake(place, "reported is missing (null for a number that nobody has read)")
    return Line(
        name=name,
        kind=kind,
        overrides=_overrides(f"{place}: overrides", node.get("overrides", [])),
        experiment=_name(f"{place}: experiment", node["experiment"]) if "experiment" in node else None,
        seeds=_seeds(f"{place}: seeds", node["seeds"]) if "seeds" in node else None,
        reported=_reported(
            place, node.get("reported", [None] * len(columns)), columns, _own_source(place, node, source)
        ),
        budgets=_budgeted(place, node, budgets),
    )


def _budgeted(place: str, node: dict[str, Any], budgets: Mapping[str, Budget]) -> dict[str, tuple[str, ...]]:
    """What a row or column says under the table's budgets, and under those that they are like."""
    own = _fields(f"{place}: budgets", node.get("budgets", {}), (), budgets)
    found: dict[str, tuple[str, ...]] = {}
    for name, budget in budgets.items():
        before = found[budget.like] if budget.like else ()
        found[name] = merge(before, _overrides(f"{place}: budgets.{name}", own.get(name, [])))
    return found


def _reported(place: str, tree: Any, columns: tuple[Column, ...], source: Source) -> tuple[Reported | None, ...]:
    if not isinstance(tree, list):
        raise _Mistake(place, f"reported must be a list with one entry per column, not {tree!r}")
    if len(tree) != len(columns):
        named = ", ".join(column.name for column in columns)
        raise _Mistake(place, f"reported has {len(tree)} entries for {len(columns)} columns ({named})")
    found: list[Reported | None] = []
    for column, item in zip(columns, tree, strict=True):
        cell = f"{place}, column '{column.name}': reported"
        if item is None:
            found.append(None)
            continue
        node = _fields(cell, item, ("mean",), ("std", "source"))
        std = _number(f"{cell}.std", node["std"]) if node.get("std") is not None else None
        if std is not None and std < 0:
            raise _Mistake(f"{cell}.std", f"must not be negative, not {std:g}")
        found.append(Reported(_number(f"{cell}.mean", node["mean"]), _own_source(cell, node, source), std))
    return tuple(found)


def _fields(place: str, node: Any, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    known = [*required, *optional]
    if not isinstance(node, dict):
        raise _Mistake(place, f"must be a mapping with {', '.join(known)}, not {_short(node)}")
    for key in node:
        if key not in known:
            raise _Mistake(place, f"there is no key {key}{did_you_mean(str(key), known)}")
    for key in required:
        if key not in node:
            raise _Mistake(place, f"{key} is missing")
    return node


def _list(place: str, node: Any, read: Callable[[str, Any], _Item]) -> tuple[_Item, ...]:
    if not isinstance(node, list) or not node:
        raise _Mistake(place, f"must be a list with at least one entry, not {_short(node)}")
    return tuple(read(f"{place}[{i}]", item) for i, item in enumerate(node))


def _text(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Mistake(place, f"must be text, not {_short(value)}")
    return " ".join(value.split())


def _name(place: str, value: Any) -> str:
    """The name of a config; it becomes a part of paths and of overrides."""
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name := _text(place, value)):
        raise _Mistake(place, f"must be the name of a config, not {_short(value)}")
    return name


def _number(place: str, value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan  # a word too: YAML reads 5e-4 as one
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _Mistake(place, f"must be a number, not {_short(value)}")
    return number


def _choice(place: str, value: Any, options: Iterable[str]) -> str:
    if value not in (options := tuple(options)):
        raise _Mistake(place, f"must be {' or '.join(options)}, not {_short(value)}")
    return str(value)


def _overrides(place: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Mistake(place, f"must be a list of group=option or key=value, not {_short(value)}")
    for item in value:
        if not re.match(r"(\+{0,2}[\w][^=\s]*=)|(~\w)", item):
            raise _Mistake(place, f"'{item}' is not of the form group=option or key=value")
        if re.split(r"[./]", key_of(item))[0] in ("seed", "outputs", "experiment", "hydra"):
            raise _Mistake(place, f"'{item}' is not for a cell to say")
    keys = [key_of(item) for item in value]
    for key in (k for k in keys if keys.count(k) > 1):
        raise _Mistake(place, f"{key} is given twice")
    return tuple(value)


def _seeds(place: str, value: Any) -> tuple[int, ...]:
    whole = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    if not whole or len(set(value)) != len(value):
        raise _Mistake(place, f"must be a list of different whole numbers, not {_short(value)}")
    return tuple(value)


def _short(value: Any) -> str:
    return text if len(text := repr(value)) <= 60 else f"{text[:57]}..."
