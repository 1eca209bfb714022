"""Table files: finding them, reading them, and what they say about one run.

The file ``table/<paper>/<table>.yaml`` is data from outside: every key, type and the shape of the grid
are checked (:mod:`sciml.tablefile`), and a mistake is refused with the file and the place.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from sciml.config import did_you_mean
from sciml.errors import UsageError
from sciml.grid import PAPER, Budget, Table, cells, key_of
from sciml.tablefile import parse

log = logging.getLogger("sciml")


def places(config_dir: Traversable | None = None) -> list[Traversable]:
    """The folders that configs are searched in, the package's own first."""
    return [files("sciml.conf"), *([config_dir] if config_dir else [])]


def names(where: Sequence[Traversable]) -> list[str]:
    """Every table as ``paper/table``, sorted."""
    found = set()
    for place in where:
        root = place.joinpath("table")
        for paper in root.iterdir() if root.is_dir() else ():
            if paper.is_dir():
                found |= {f"{paper.name}/{f.name[:-5]}" for f in paper.iterdir() if f.name.endswith(".yaml")}
    return sorted(found)


def load(name: str, where: Sequence[Traversable]) -> Table:
    """Read and check a table file.

    Args:
        name: ``paper/table``.
        where: Folders of configs.

    Raises:
        UsageError: There is no such table, or its file has a mistake; one line with the file and the place.
    """
    import yaml

    file = next((f for place in where if (f := place.joinpath(f"table/{name}.yaml")).is_file()), None)
    if file is None:
        known = names(where)
        listed = f"\navailable: {', '.join(known)}" if 0 < len(known) <= 12 else ""
        raise UsageError(f"there is no table {name}{did_you_mean(name, known)}{listed}")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"table/{name}.yaml:{place} {problem}") from error
    table = parse(name, tree)
    if not any(place.joinpath(f"paper/{table.paper}.yaml").is_file() for place in where):
        raise UsageError(f"{table.file}: paper: there is no paper/{table.paper}.yaml")
    return table


def reported(row: Mapping[str, Any], tree: Mapping[str, Any], where: Sequence[Traversable] | None = None) -> list[str]:
    """What the paper reports for a run, one line for each number; none if no table has the run's cell.

    A table file with a mistake is named in the log and left out.

    Args:
        row: The run's row.
        tree: Its resolved config.
        where: Folders of configs; the package's own by default.
    """
    where = where or places()
    paper = str(row["experiment"]).split("/")[0]
    lines: list[str] = []
    for name in names(where):
        if not name.startswith(f"{paper}/"):
            continue
        try:
            table = load(name, where)
        except UsageError as error:
            log.warning("%s", str(error).splitlines()[0])
            continue
        lines += _reported(table, row, tree, _defaults(str(row["experiment"]), where))
    return list(dict.fromkeys(lines))


def _reported(
    table: Table, row: Mapping[str, Any], tree: Mapping[str, Any], defaults: Mapping[str, str]
) -> Iterator[str]:
    choices = row.get("choices", {})
    budgets = sorted(table.budgets.values(), key=lambda b: -len(b.overrides))
    spent = next((b for b in budgets if b.overrides and all(agrees(o, choices, tree) for o in b.overrides)), None)
    spending = [b.overrides for b in table.budgets.values()]
    spending += [overrides for part in (*table.columns, *table.rows) for overrides in part.budgets.values()]
    free = {key_of(o) for overrides in spending for o in overrides}
    fitting = []
    for cell in cells(table, Budget("", (), (0,))):
        named = {key_of(o) for o in cell.overrides} | free
        # A group that the cell leaves alone must be at the experiment's own choice: else it is another method.
        moved = any(choices.get(g, o) != o for g, o in defaults.items() if g not in named)
        if cell.experiment == row["experiment"] and not moved and all(agrees(o, choices, tree) for o in cell.overrides):
            fitting.append(cell)
    for cell in fitting:
        # Of rows that agree, the one that says most about the run is meant.
        rivals = [c for c in fitting if c.column is cell.column and len(c.overrides) > len(cell.overrides)]
        if cell.reported is None or rivals:
            continue
        metric = cell.column.metric
        number = f"{cell.reported}{f' {metric.unit}' if metric.unit else ''} {metric.label}"
        steps = row.get("cost", {}).get("steps")
        mine = [f"budget {spent.name}" if spent else "", f"{steps} steps" if steps else ""]
        this = ", ".join(filter(None, mine))
        yield f"{number}, budget {PAPER}, {cell.reported.source}{f'; this run: {this}' if this else ''}"


def _defaults(experiment: str, where: Sequence[Traversable]) -> dict[str, str]:
    """Which option an experiment's own file chooses for each group."""
    import yaml

    file = next((f for place in where if (f := place.joinpath(f"experiment/{experiment}.yaml")).is_file()), None)
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    entries = tree.get("defaults") if isinstance(tree, dict) else None
    pairs = [pair for entry in entries or [] if isinstance(entry, dict) for pair in entry.items()]
    return {str(g).removeprefix("override ").strip().lstrip("/"): str(o) for g, o in pairs if o is not None}


def agrees(override: str, choices: Mapping[str, str], tree: Mapping[str, Any]) -> bool:
    """Whether a finished run has what an override asks for.

    Args:
        override: ``group=option``, ``key=value`` or ``~key``.
        choices: Which option each group of the run was filled from.
        tree: The run's resolved config.
    """
    key, _, text = override.lstrip("+~").partition("=")
    if "/" in key or (key in choices and "." not in key):
        return choices.get(key) == text
    node: Any = tree
    for part in key.split("."):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        else:
            return override.startswith("~")
    return not override.startswith("~") and _same(_value(text), node)


def _value(text: str) -> Any:
    import yaml

    try:
        return float(text)  # before YAML, to which 3e-3 is a word
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _same(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, list) and isinstance(got, (list, tuple)):
        return len(wanted) == len(got) and all(map(_same, wanted, got))
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if isinstance(got, (int, float)) and isinstance(wanted, (int, float, str)):
        number = _value(wanted) if isinstance(wanted, str) else wanted
        return isinstance(number, (int, float)) and math.isclose(number, got, rel_tol=1e-12)
    return bool(wanted == got)
