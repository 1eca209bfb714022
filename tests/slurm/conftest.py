"""A real cluster of one node for the tests of this folder, with and without accounting; see scripts/slurm/up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sciml import scheduler
from sciml.scheduler import JobState

SCRIPTS = Path(__file__).parents[2] / "scripts/slurm"
PATIENCE = 400.0  # seconds; only a test that fails waits so long
CPUS = 8  # that the node claims to have: what waits in it costs nothing


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Args:
        folder: Its folder.
        hurried: When a job was hurried last.
    """

    folder: Path
    hurried: dict[str, float] = field(default_factory=dict)

    @property
    def accounts(self) -> bool:
        return "slurmdbd" in self.conf.read_text()

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints; it must succeed."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def sbatch(self, script: Path, lines: Sequence[str], **options: str) -> str:
        """Submit lines of shell; the output goes beside the script."""
        given = {
            "output": f"{script}.%a.log" if "array" in options else f"{script}.log",
            "open_mode": "append",
            **options,
        }
        head = [f"#SBATCH --{key.replace('_', '-')}{f'={value}' if value else ''}" for key, value in given.items()]
        script.write_text("\n".join(["#!/bin/bash", *head, *lines, ""]))
        return scheduler.submit(script)

    def hurry(self) -> None:
        """Start requeued jobs in two seconds, which SLURM would let wait for two minutes.

        Not at once: a credential that is no younger than the second of the requeueing is refused as revoked.
        """
        for line in self.call("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i %r").splitlines():
            job, reason = line.split(maxsplit=1)
            if reason == "BeginTime" and time.monotonic() > self.hurried.get(job, 0) + 10:
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+2"], capture_output=True)
                self.hurried[job] = time.monotonic()

    def wait(self, *ids: str, until: Callable[[JobState], bool] = lambda job: job.over) -> dict[str, JobState]:
        """Wait until it holds for all jobs, and hurry them meanwhile."""

        def there() -> dict[str, JobState] | None:
            self.hurry()
            known = scheduler.states(ids)
            return known if known and all(until(job) for job in known.values()) else None

        return eventually(there, lambda: f"jobs {ids}: {scheduler.states(ids)}")


def eventually(what: Callable[[], Any], otherwise: Callable[[], object], seconds: float = PATIENCE) -> Any:
    """The first answer that is not None or False."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {otherwise()}")


def _up(folder: Path, *options: str) -> Cluster:
    done = subprocess.run(
        [SCRIPTS / "up", "--cpus", str(CPUS), *options, folder], capture_output=True, text=True, timeout=600
    )
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Cluster(folder)


def _down(cluster: Cluster) -> None:
    done = subprocess.run([SCRIPTS / "down", cluster.folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without an accounting database."""
    cluster = _up(tmp_path_factory.mktemp("slurm"))
    yield cluster
    _down(cluster)


@pytest.fixture(scope="session")
def accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with one."""
    cluster = _up(tmp_path_factory.mktemp("slurmdb"), "--accounting")
    yield cluster
    _down(cluster)


@pytest.fixture
def cluster(plain: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The one without accounting, as the one that SLURM's commands talk to."""
    monkeypatch.setenv("SLURM_CONF", str(plain.conf))
    return plain


@pytest.fixture(params=["plain", "accounting"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One after the other."""
    found: Cluster = request.getfixturevalue(request.param)
    monkeypatch.setenv("SLURM_CONF", str(found.conf))
    return found
