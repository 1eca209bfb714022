"""Run folders written by hand, with known numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sciml.folder import RunFolder, run_folder


def write_run(
    outputs: Path,
    experiment: str = "doe2020x/case",
    seed: int = 0,
    *,
    option: str = "a",
    width: int = 8,
    done: bool = True,
    figure: bool = False,
    steps: int = 5,
    **metrics: float,
) -> RunFolder:
    """A run whose config has one group (``pinn/points``) and one value beside it (``network.width``)."""
    hash_ = f"{abs(hash((experiment, option, width))):010x}"[:10]
    folder = run_folder(outputs, experiment, hash_, seed)
    folder.create()
    tree: dict[str, Any] = {
        "seed": seed,
        "network": {"_target_": "sciml.network.mlp.Mlp", "width": width},
        "pinn": {"points": {"_target_": f"sciml.points.{option}", "n": len(option)}, "network": {"width": width}},
    }
    choices = {"experiment": experiment, "pinn/points": option, "network": "mlp"}
    folder.write_config({"experiment": experiment, "choices": choices, "config": tree})
    lines = [{"step": 10 * i, "time": 1.0, "train/loss": 1 / i, "train/boundary": 2 / i} for i in range(1, steps + 1)]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "stage": "test"')
    folder.update_status(state="done" if done else "failed", error=None if done else "RunError: <b>it broke</b>")
    if figure:
        folder.figures.mkdir()
        picture = Figure(figsize=(3, 2))
        picture.add_subplot().plot([0, 1], [1, 0])
        picture.savefig(folder.figures / "solution_and_error.png", dpi=60)
    if done:
        folder.write_row(
            {
                "experiment": experiment,
                "family": "pinn",
                "hash": hash_,
                "seed": seed,
                "metrics": metrics or {"err": 0.5 / (seed + 1)},
                "cost": {"steps": 10 * steps, "operator_calls": 3.0},
                "warnings": ["PROPAGATION FAILURE <LIKELY>"] if option == "bad" else [],
                "wall_seconds": 2.5 + seed,
                "choices": choices,
                "command": "sciml train x",
                "device": "cpu",
            }
        )
    return folder
