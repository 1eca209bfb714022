"""A sweep of 24 runs on a local SLURM cluster, disturbed at random: nothing may be lost, and nothing made twice.

The sweep (3 collocations x 2 coefficients x 4 seeds of daw2023r3/convection, shortened) is submitted by a process
that ends at once. Jobs of the partition `urgent` come at random times and take places away, until the sweep was
preempted often enough; one run is killed with SIGKILL, one by its memory limit, one is cancelled. `sciml status` must
tell these three apart, `sciml sweep --resume` must submit these three and no other, and in the end every row must have
the metrics, bit for bit, of the same sweep made undisturbed on this machine.

Prints what it counted; the exit code is 1 if anything is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sciml import scheduler
from sciml.scheduler import JobState

HERE = Path(__file__).resolve().parent
GRID = ["+experiment=daw2023r3/convection", "pinn/collocation=fixed,uniform,r3",
        "pinn.problem.equation.beta=20.0,30.0", "seed=0,1,2,3"]  # fmt: skip
SHORT = ["pinn.n_points=200", "pinn.n_val=500", "pinn.log_every=20", "pinn.val_every=100",
         "pinn.problem.grid.x=64", "pinn.problem.grid.t=32", "checkpoint.every_seconds=1"]  # fmt: skip
RUNS = 24
CPUS = 2
VICTIMS = ("SIGKILL", "memory", "cancel")
TELLS = {"SIGKILL": ("lost", "SIGKILL"), "memory": ("lost", "out of memory"), "cancel": ("cancelled", "")}


failures: list[str] = []


class Failure(Exception):
    """Something is not as it must be, and it makes no sense to go on."""


def check(what: str, holds: bool, seen: object = "") -> None:
    print(f"  {'ok  ' if holds else 'FAIL'} {what}{f': {seen}' if seen != '' else ''}", flush=True)
    if not holds:
        failures.append(what)


def sciml(*words: str, seconds: float = 1800) -> str:
    """What a command of sciml prints, in a process of its own that is over when this returns."""
    done = subprocess.run([sys.executable, "-m", "sciml.cli", *words], capture_output=True, text=True, timeout=seconds)
    if done.returncode and words[0] != "status":  # its exit code says that runs are not done
        raise Failure(f"sciml {words[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Watcher:
    """What there is to see of a sweep while it goes on.

    Args:
        outputs: Root of its run folders.
    """

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self.rows: dict[Path, tuple[int, int]] = {}
        self.repeated: set[Path] = set()
        self.saved = 0  # preemptions of a run that had taken steps
        self._restarts: dict[str, int] = {}
        self._hurried: dict[str, float] = {}

    def look(self, array: str, where: dict[str, Path]) -> dict[str, JobState]:
        """Where its jobs are. A requeued one waits two minutes by SLURM's rule; here only until it can start."""
        for path in self.outputs.glob("daw2023r3/convection/*/row.json"):
            there = path.stat()
            now = (there.st_ino, there.st_mtime_ns)
            if self.rows.setdefault(path, now) != now:
                self.repeated.add(path)
        known = scheduler.states([array])
        for job in known.values():
            if job.restarts > self._restarts.get(job.id, 0):
                self.saved += (where[job.id] / "last.ckpt").exists()
            self._restarts[job.id] = job.restarts
            late = time.monotonic() - self._hurried.get(job.id, 0) > 10
            if job.state == "PENDING" and job.reason == "BeginTime" and late:
                # In the second of its requeueing SLURM would refuse it: its credential is revoked.
                quietly("scontrol", "update", f"JobId={job.id}", "StartTime=now+2")
                self._hurried[job.id] = time.monotonic()
        return known

    def standing(self, name: str) -> dict[str, dict[str, Any]]:
        """What ``sciml status`` says, by run folder."""
        found = json.loads(sciml("status", name, "--format", "json", "--outputs", str(self.outputs)))
        return {Path(run["folder"]).name: run for run in found["runs"]}


def quietly(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def cpu_seconds() -> float:
    """Of the child processes that are over: on a busy machine it says more than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tasks(outputs: Path, name: str) -> dict[str, Path]:
    """The run folder of each task, by the task's id."""
    filed = json.loads((outputs / ".sweeps" / name / "sweep.json").read_text())
    folders = {run["index"]: outputs / run["folder"] for run in filed["runs"]}
    return {task["id"]: folders[task["runs"][0]] for task in filed["submissions"][-1]["tasks"]}


def submit(outputs: Path, steps: int) -> tuple[str, str]:
    """Submit the sweep while the partition is closed; returns its name and the id of its array."""
    begun, cpu = time.monotonic(), cpu_seconds()
    sciml("sweep", *GRID, *SHORT, f"trainer.max_steps={steps}", f"outputs={outputs}", "--launcher", "slurm",
          "launcher.memory=2G", "launcher.time=10", "launcher.signal=8")  # fmt: skip
    seconds = time.monotonic() - begun
    taken = f"{seconds:.1f} s, of the processor {cpu_seconds() - cpu:.1f} s"
    (folder,) = (outputs / ".sweeps").iterdir()
    known = tasks(outputs, folder.name)
    check("submitted in less than 10 s, and the process that did it is gone", seconds < 10, taken)
    check("runs submitted", len(known) == RUNS, len(known))
    return folder.name, next(iter(known)).partition("_")[0]


def disturb(watcher: Watcher, array: str, where: dict[str, Path], rng: random.Random, least: int) -> dict[str, str]:
    """Let the sweep go on, and see to it that it does not go well; returns the victims' tasks."""
    victims = dict(zip(VICTIMS, rng.sample(sorted(where), len(VICTIMS)), strict=True))
    if not quietly("scontrol", "update", f"JobId={victims['memory']}", "MinMemoryNode=150"):
        raise Failure("the memory limit of a job could not be lowered")
    quietly("scontrol", "update", "PartitionName=main", "State=UP")
    waiting = {"SIGKILL", "cancel"}
    urgent, again, said = 0, time.monotonic() + rng.uniform(5, 10), 0.0
    while True:
        known = watcher.look(array, where)
        restarts = sum(job.restarts for job in known.values())
        running = [job.id for job in known.values() if job.state == "RUNNING"]
        for how in sorted(waiting):
            if victims[how] in running and strike(how, victims[how], where[victims[how]]):
                waiting.discard(how)
        # Every second one waits until a run is training: on a slow machine all would hit the imports.
        ripe = [job for job in running if urgent % 2 or stepping(where[job])]
        if time.monotonic() > again and restarts < least and set(ripe) - set(victims.values()):
            width = rng.randint(1, CPUS)
            quietly("sbatch", "--partition=urgent", f"--ntasks={width}", "--output=/dev/null", "--wrap", "sleep 1")
            urgent += 1
            again = time.monotonic() + rng.uniform(3, 9)
        if time.monotonic() - said > 15:
            over = sum(job.over for job in known.values())
            print(f"    {over:2} of {RUNS} over, {restarts} preempted", flush=True)
            said = time.monotonic()
        if all(job.over for job in known.values()):
            break
        time.sleep(0.5)
    taken = f"{restarts} times, of {count(known)} runs, {watcher.saved} times after steps"
    print(f"  {urgent} urgent jobs took places away {taken}", flush=True)
    check("preempted at least so often", restarts >= least, restarts)
    check("SIGKILL and cancellation have struck", not waiting)
    return victims


def count(known: dict[str, JobState]) -> int:
    return sum(job.restarts > 0 for job in known.values())


def stepping(folder: Path) -> dict[str, Any]:
    """The status of a run that is training; empty for any other."""
    try:
        status = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return status if status.get("state") == "running" and status.get("step") else {}


def strike(how: str, task: str, folder: Path) -> bool:
    """Once the run has taken steps; whether it was struck."""
    status = stepping(folder)
    if not status or (folder / "row.json").exists():
        return False
    if how == "cancel":
        return quietly("scancel", task)
    try:  # what is on file may be older than the job's last start
        if b"sciml.cli.job" not in Path(f"/proc/{status['pid']}/cmdline").read_bytes():
            return False
        os.kill(status["pid"], signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def metrics(outputs: Path) -> dict[str, dict[str, float]]:
    """The metrics of every row, by folder; numbers as they were written, so that a bit counts."""
    found = {}
    for path in sorted(outputs.glob("daw2023r3/convection/*/row.json")):
        row = json.loads(path.read_text())
        found[path.parent.name] = {**row["metrics"], "best_step": row["best_step"], "steps": row["cost"]["steps"]}
    return found


def run(folder: Path, seed: int, steps: int, least: int) -> None:
    rng = random.Random(seed)
    outputs, undisturbed = folder / "disturbed", folder / "undisturbed"
    quietly("scontrol", "update", "PartitionName=main", "State=DOWN")
    print(f"seed {seed}: {RUNS} runs of {steps} steps", flush=True)
    name, array = submit(outputs, steps)
    watcher = Watcher(outputs)
    where = tasks(outputs, name)
    victims = disturb(watcher, array, where, rng, least)

    print("status, and --resume:")
    standing = watcher.standing(name)
    hit = {how: where[task].name for how, task in victims.items()}
    for how, (state, words) in TELLS.items():
        seen = standing[hit[how]]
        said = f"{seen['state']}, {seen['error'] or ''}"
        check(f"told apart, {how}", seen["state"] == state and words in (seen["error"] or ""), said)
    others = [run["state"] for path, run in standing.items() if path not in hit.values()]
    check("all others are done", others == ["done"] * (RUNS - len(hit)), f"{others.count('done')} of {len(others)}")
    sciml("sweep", "--resume", name, "--outputs", str(outputs))
    again = tasks(outputs, name)
    resumed = sorted(path.name for path in again.values())
    check("resumed exactly these", resumed == sorted(hit.values()), len(resumed))
    second = next(iter(again)).partition("_")[0]
    while not all(job.over for job in watcher.look(second, again).values()):
        time.sleep(0.5)
    watcher.look(second, again)
    counted = [run["state"] for run in watcher.standing(name).values()]
    check("all done", counted == ["done"] * RUNS, f"{counted.count('done')} of {RUNS}")
    print("the same, undisturbed, on this machine:")
    sciml("sweep", *GRID, *SHORT, f"trainer.max_steps={steps}", f"outputs={undisturbed}", "--launcher", "joblib")
    mine, theirs = metrics(outputs), metrics(undisturbed)
    check("rows lost", len(set(theirs) - set(mine)) == 0 and len(theirs) == RUNS, len(set(theirs) - set(mine)))
    check("finished cells repeated", not watcher.repeated and len(watcher.rows) == RUNS, len(watcher.repeated))
    values = sum(len(row) for row in theirs.values())
    equal = sum(mine[run][key] == value for run, row in theirs.items() for key, value in row.items())
    check("values equal bit for bit", equal == values, f"{equal} of {values}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/slurm/chaos", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the disturbances")
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--preemptions", type=int, default=10, help="at least so many")
    parser.add_argument("--keep", action="store_true", help="leave the folder with runs and logs")
    options = parser.parse_args()
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    code = 1
    # A signal ends the cluster too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        up = subprocess.run(
            [HERE / "up", "--install", "--cpus", str(CPUS), folder / "slurm"], stdout=subprocess.DEVNULL
        )
        if up.returncode:
            return up.returncode
        os.environ["SLURM_CONF"] = str(folder / "slurm" / "slurm.conf")
        run(folder, options.seed, options.steps, options.preemptions)
        code = int(bool(failures))
    except Failure as failure:
        failures.append(str(failure))
    finally:
        subprocess.run([HERE / "down", folder / "slurm"], stdout=subprocess.DEVNULL)
        if code == 0 and not options.keep:
            shutil.rmtree(folder)
        else:
            print(f"runs and logs are in {folder}")
    load = "{:.0f} {:.0f} {:.0f}".format(*os.getloadavg())
    print(f"{time.monotonic() - begun:.0f} s in all, beside whatever else this machine had to do: load {load}")
    print("not as it must be: " + "; ".join(failures) if failures else "all as it must be")
    return code


if __name__ == "__main__":
    sys.exit(main())
