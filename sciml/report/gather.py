"""What a report shows, as plain data: tables with their numbers, runs with curves, figures, config and provenance.

Everything comes from the run folders. A file that cannot be read is named in ``problems`` and left out; nothing is
averaged or guessed in its place.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.config import NEUTRAL
from sciml.datafile import described
from sciml.errors import UsageError
from sciml.folder import RunFolder
from sciml.grid import Table
from sciml.render import above, below, fields, heading
from sciml.verdict import Report, Result, row_of

POINTS = 300  # of a curve; a longer one is thinned
WIDTH = 1000  # pixels of an embedded figure
_PROVENANCE = ("command", "started", "commit", "dirty", "device", "threads", "ranks", "precision", "peak_memory_mb")


def table_data(report: Report, folders: Mapping[tuple[str, str, int], RunFolder]) -> dict[str, Any]:
    """A judged table.

    Args:
        report: The table with what was obtained for it.
        folders: The run folder for each row name, column name and seed.
    """
    table = report.table
    return {
        "name": table.name,
        "title": table.title,
        "above": list(above(report)),
        "below": list(below(report)),
        "comparable": report.comparable,
        "overview": _overview(report),
        "columns": [
            {
                "name": column.name if len(table.columns) > 1 else "",
                "metric": column.metric.heading,
                "better": column.metric.better,
                "head": heading(report, column.metric.unit),
                "lines": [_line(result) for result in report.of(column)],
            }
            for column in table.columns
        ],
        "costs": [c for column in table.columns if (c := _costs(table, report.of(column), folders))["points"]],
    }


def _overview(report: Report) -> dict[str, Any]:
    """One line on a table: how much of it is there, and what came of it."""
    methods = [result for result in report.results if result.cell.row.kind == "method"]
    there = sum(bool(result.values) for result in methods)
    verdicts = Counter(
        " ".join(r.verdict.split()[:2]) if r.verdict[:3] == "not" else r.verdict.split()[0] for r in methods
    )
    judged = [
        f"{verdicts[name]} {name}" for name in ("reproduced", "better", "short", "not comparable") if verdicts[name]
    ]
    orders = report.orderings
    holds = sum(order.kept == order.pairs for order in orders)
    return {
        "there": there,
        "cells": len(methods),
        "verdicts": ", ".join(judged),
        "order": "" if not orders else f"holds in {holds} of {len(orders)}",
    }


def _line(result: Result) -> dict[str, Any]:
    reported = result.cell.reported.mean if result.cell.reported else None
    sort = [
        result.cell.row.name,
        reported,
        result.mean,
        len(result.seeds),
        *result.costs,
        result.seconds,
        result.verdict,
    ]
    return {
        "kind": result.cell.row.kind,
        "verdict": result.verdict.split()[0],
        "cells": [{"text": text, "sort": value} for text, value in zip(fields(result), sort, strict=True)],
    }


def _costs(
    table: Table, results: Sequence[Result], folders: Mapping[tuple[str, str, int], RunFolder]
) -> dict[str, Any]:
    """Cost against error of a column: one point for each run of each method."""
    points = []
    for result in results:
        for seed, value in zip(result.seeds, result.values, strict=True):
            row = row_of(folders[result.cell.row.name, result.cell.column.name, seed]) or {}
            cost = {"wall seconds": row.get("wall_seconds"), **row.get("cost", {})}
            known = {k.replace("_", " "): v for k, v in cost.items() if _amount(v)}
            points.append({"method": result.cell.row.name, "seed": seed, "value": value, "cost": known})
    column = results[0].cell.column
    return {
        "title": f"{table.title}{f', {column.name}' if len(table.columns) > 1 else ''}",
        "column": column.name if len(table.columns) > 1 else "",
        "metric": f"{column.metric.label}{f' [{column.metric.unit}]' if column.metric.unit else ''}",
        "better": column.metric.better,
        "axes": _axes(points, [key.replace("_", " ") for key in table.cost]),
        "points": points,
    }


def _axes(points: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> list[str]:
    """Costs that tell the runs apart: those that the table prints, those that all runs have, time, then the others.

    One that most runs did without comes after them: a logarithmic axis has no place for nothing.
    """
    values: dict[str, list[float]] = {}
    for point in points:
        for name, value in point["cost"].items():
            values.setdefault(name, []).append(value)
    telling = [name for name, found in values.items() if len(set(found)) > 1] or list(values)

    def rank(name: str) -> tuple[bool, int, bool, bool, str]:
        rare = 2 * sum(value > 0 for value in values[name]) < len(points)
        place = asked.index(name) if name in asked else len(asked)
        return rare, place, len(values[name]) < len(points), name != "wall seconds", name

    return sorted(telling, key=rank)


def _amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def run_data(folder: RunFolder, name: str, problems: list[str]) -> dict[str, Any] | None:
    """One run; None if its folder says nothing that can be trusted.

    Args:
        folder: The run folder.
        name: What it is called in the report.
        problems: Takes a line for every file that was left out.
    """
    try:
        stored = folder.read_config()
        row = row_of(folder)
    except UsageError as error:
        problems.append(f"left out: {error}")
        return None
    status = folder.read_status()
    row = row or {}
    tree = stored["config"]
    return {
        "id": name,
        "experiment": stored["experiment"],
        "family": row.get("family", ""),
        "seed": tree.get("seed"),
        "state": "done" if row else str(status.get("state", "not started")),
        "error": "" if row else str(status.get("error") or ""),
        "metrics": row.get("metrics", {}),
        "seconds": row.get("wall_seconds"),
        "cost": {key.replace("_", " "): value for key, value in row.get("cost", {}).items()},
        "warnings": row.get("warnings", []),
        "choices": stored["choices"],
        "tree": {key: value for key, value in tree.items() if key not in NEUTRAL},
        "provenance": {key.replace("_", " "): row[key] for key in _PROVENANCE if row.get(key) is not None}
        | {f"data {path}": text for path, text in described(row).items()}
        | dict(row.get("versions", {})),
        "config": _yaml(tree),
        "curves": _curves(folder, problems),
        "figures": _figures(folder, stored["experiment"], tree.get("seed"), problems),
    }


def _yaml(tree: Mapping[str, Any]) -> str:
    import yaml

    return yaml.dump(dict(tree), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


def _curves(folder: RunFolder, problems: list[str]) -> dict[str, list[list[float]]]:
    """Every logged number against the step, ``{name: [steps, values]}``; tests are no curve."""
    if not folder.metrics.exists():
        return {}
    curves: dict[str, list[list[float]]] = {}
    try:
        lines = folder.metrics.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        problems.append(f"left out: {folder.metrics}: {str(error).splitlines()[0]}")
        return {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the torn last line of a killed process
        if not isinstance(record, dict) or record.get("stage") == "test":
            continue
        for key, value in record.items():
            if key not in ("step", "time") and isinstance(value, (int, float)) and math.isfinite(value):
                steps, values = curves.setdefault(key, [[], []])
                steps.append(record.get("step", 0))
                values.append(float(f"{value:.5g}"))
    return {key: [_thin(steps), _thin(values)] for key, (steps, values) in curves.items() if len(steps) > 1}


def _thin(values: list[float]) -> list[float]:
    if len(values) <= POINTS:
        return values
    last = len(values) - 1
    return [values[round(i * last / (POINTS - 1))] for i in range(POINTS)]


def _figures(folder: RunFolder, experiment: str, seed: Any, problems: list[str]) -> list[dict[str, str]]:
    if not folder.figures.is_dir():
        return []
    found = []
    for path in sorted(folder.figures.glob("*.png")):
        title = path.stem.replace("_", " ")
        try:
            kind, data = _smaller(path)
        except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: what Pillow calls a broken PNG
            problems.append(f"left out: {path} is no picture: {str(error).splitlines()[0]}")
            continue
        uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        found.append({"title": title, "alt": f"{title} of {experiment}, seed {seed}", "uri": uri})
    return found


def _smaller(path: Path) -> tuple[str, bytes]:
    """A figure at the size of a screen; WebP where that takes less room."""
    from PIL import Image

    original = path.read_bytes()
    with Image.open(io.BytesIO(original)) as image:
        image.load()
        picture = image.convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85, method=2)  # a third of the time of the default for a tenth more bytes
    data = buffer.getvalue()
    return ("webp", data) if len(data) < len(original) else ("png", original)


def runs_below(outputs: Path) -> list[RunFolder]:
    """Every run folder below ``outputs``, by name."""
    return [RunFolder(path.parent) for path in sorted(outputs.rglob("config.yaml")) if ".sweeps" not in path.parts]


def metric_names(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The metrics of the runs, those that most runs have first; those of the best weights are left to the details."""
    count: dict[str, int] = {}
    for run in runs:
        for name in run["metrics"]:
            if not name.startswith("best/"):
                count[name] = count.get(name, 0) + 1
    return sorted(count, key=lambda name: (-count[name], name))
