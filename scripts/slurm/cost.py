"""Many tiny runs through the array launcher: do all rows arrive, and what does a run cost beside its own work?

Two parts are printed. *To submit* a run: what submitting all of them takes more than submitting one, by the number of
them more; compose, check, freeze, and its share of one sbatch. *To start* it in its task: from the moment when one run
has filed that it is done until the next one in the same task files that it has started; the end of one process and
the fork of the next, the config read and checked. The imports, seconds in every task, are shared by its runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chaos import CPUS, HERE, Failure, cpu_seconds, quietly, sciml

from sciml import scheduler

TINY = ["+experiment=daw2023r3/convection", "trainer.max_steps=2", "pinn.n_points=10", "pinn.n_val=10",
        "pinn.log_every=1", "pinn.val_every=1", "pinn.problem.grid.x=8", "pinn.problem.grid.t=4"]  # fmt: skip


def submit(outputs: Path, runs: int, per_task: int) -> tuple[float, float]:
    """Submit so many; returns the seconds by the clock and of the processor."""
    begun, cpu = time.monotonic(), cpu_seconds()
    sciml("sweep", *TINY, f"seed=range({runs})", f"outputs={outputs}", "--launcher", "slurm", "launcher.memory=2G",
          f"launcher.runs_per_task={per_task}")  # fmt: skip
    return time.monotonic() - begun, cpu_seconds() - cpu


def filed(outputs: Path) -> dict[str, Any]:
    (path,) = (outputs / ".sweeps").glob("*/sweep.json")
    return json.loads(path.read_text())


def wait(sweep: dict[str, Any]) -> None:
    ids = [task["id"] for task in sweep["submissions"][-1]["tasks"]]
    while not all(job.over for job in scheduler.states(ids).values()):
        time.sleep(1)


def gaps(outputs: Path, sweep: dict[str, Any]) -> list[float]:
    """Seconds between the end of a run and the start of the next in the same task."""
    folders = [outputs / run["folder"] for run in sweep["runs"]]
    found = []
    for task in sweep["submissions"][-1]["tasks"]:
        ends = [json.loads((folders[i] / "status.json").read_text()) for i in task["runs"]]
        found += [b["started"] - a["updated"] for a, b in itertools.pairwise(ends)]
    return found


def run(folder: Path, runs: int, per_task: int) -> bool:
    quietly("scontrol", "update", "PartitionName=main", "State=DOWN")
    alone = submit(folder / "one", 1, 1)
    quietly("scancel", "--user", str(os.getuid()))
    outputs = folder / "many"
    together = submit(outputs, runs, per_task)
    print(f"submitted {runs} runs in {together[0]:.1f} s ({together[1]:.1f} s of the processor), one in {alone[0]:.1f}"
          f" s ({alone[1]:.1f} s)", flush=True)  # fmt: skip
    clock, processor = ((b - a) / (runs - 1) * 1000 for a, b in zip(alone, together, strict=True))
    begun = time.monotonic()
    quietly("scontrol", "update", "PartitionName=main", "State=UP")
    sweep = filed(outputs)
    wait(sweep)
    rows = len(list(outputs.rglob("row.json")))
    print(f"{rows} of {runs} rows after {time.monotonic() - begun:.0f} s, {per_task} runs in a task")
    between = statistics.median(gaps(outputs, sweep)) * 1000
    print(f"cost of a run: {clock:.0f} ms to submit ({processor:.0f} ms of the processor), {between:.0f} ms to start")
    return rows == runs


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/slurm/cost", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--per-task", type=int, default=50, help="runs that share a task")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cost-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the cluster too
    try:
        up = [HERE / "up", "--install", "--cpus", str(CPUS), folder / "slurm"]
        if code := subprocess.run(up, stdout=subprocess.DEVNULL).returncode:
            return code
        os.environ["SLURM_CONF"] = str(folder / "slurm" / "slurm.conf")
        return 0 if run(folder, options.runs, options.per_task) else 1
    except Failure as failure:
        print(failure)
        return 1
    finally:
        subprocess.run([HERE / "down", folder / "slurm"], stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
        print("load {:.0f} {:.0f} {:.0f}".format(*os.getloadavg()))


if __name__ == "__main__":
    sys.exit(main())
