"""What a search goes by: the lowest held-out loss of a run, or a metric of its row.

The default reads what was logged while the run trained, never its test: whoever chooses by the test reports a number
that is too good.
"""

from __future__ import annotations

import json
import math

from sciml.config import did_you_mean
from sciml.errors import RunError, UsageError
from sciml.folder import Row, RunFolder

HELD_OUT = "val/loss"  # the name under which every module that trains logs it, see sciml.checkpoint


def objective(folder: RunFolder, row: Row, metric: str | None) -> float:
    """The value of a finished run.

    Args:
        folder: Of the run.
        row: Its row; not looked at for the held-out loss.
        metric: Of the row; None for the lowest held-out loss.

    Raises:
        UsageError: The run has no such value; the message says what there is.
        RunError: The held-out loss was never finite.
    """
    if metric is None:
        return lowest_held_out(folder)
    value = row["metrics"].get(metric)
    if value is None:
        known = sorted(row["metrics"])
        raise UsageError(
            f"the rows of this experiment have no metric {metric}{did_you_mean(metric, known)}"
            f"\navailable: {', '.join(known)}"
        )
    return float(value)


def lowest_held_out(folder: RunFolder) -> float:
    """The lowest held-out loss that a run has logged.

    Raises:
        UsageError: It has logged none.
        RunError: It was never finite.
    """
    losses = [float(record[HELD_OUT]) for record in _logged(folder) if HELD_OUT in record]
    if not losses:
        raise UsageError(
            f"{folder.path} has logged no {HELD_OUT}, the held-out loss that a search goes by;"
            " name a metric of the row instead: --objective METRIC"
        )
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        raise RunError(f"{HELD_OUT} was never finite")
    return min(finite)


def _logged(folder: RunFolder) -> list[dict[str, float]]:
    try:
        lines = folder.metrics.read_text().splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the torn last line of a killed process
        if isinstance(record, dict) and record.get("stage") != "test":
            records.append(record)
    return records
