"""The one place where Typer hands over to Hydra.

A ``hydra.main``-wrapped function keeps multirun, launchers and sweepers as Hydra's users know them.
``sys.argv`` is Hydra's public interface; ``HYDRA_FULL_ERROR`` makes it raise instead of printing.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sciml.errors import UsageError
from sciml.signals import StopSignal

from . import screen
from .explain import explain
from .origin import mistakes, place_of

CONFIG = "pkg://sciml.conf"
OK, FAILED, USAGE = 0, 1, 2
_RESULTS = "SCIML_SWEEP_RESULTS"  # where the jobs of a multirun, in whatever process, file how they ended


def launch(
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    config_dir: str | None = None,
    trust: Sequence[str] = (),
    force: bool = False,
) -> int:
    """Compose and run; returns the exit code."""
    import hydra

    task = Task(overrides, trust=trusted(trust), force=force)
    argv = [
        "sciml",
        *overrides,
        *(["--multirun"] if multirun else []),
        *(["--config-dir", config_dir] if config_dir else []),
    ]
    try:
        _refuse_options(overrides)
        from .jobs import check_jobs, foreign, shadowed

        if multirun:
            from .hydra_launcher import register

            register(config_dir)
        if multirun or foreign(overrides, config_dir):
            task.expected = check_jobs(overrides, config_dir, task.trust, multirun=multirun)
            for warning in shadowed(config_dir) if config_dir else ():
                screen.note(warning)
        # Imports take seconds: from here on a signal that comes in between is not lost. The jobs of a
        # multirun, in whatever process, watch for themselves.
        early = nullcontext() if multirun else StopSignal()
        with _hydra_environment(argv), _results(multirun) as results, early as task.stop:
            hydra.main(version_base="1.3", config_path=CONFIG, config_name="config")(task)()
            return _summary(results, task.expected) if results else task.code
    except mistakes() as error:
        screen.error(explain(error, overrides, config_dir))
        return USAGE
    except KeyboardInterrupt:
        screen.error("interrupted")
        return 130


class Task:
    """What Hydra calls for each job. It ends in an exit code, never in an exception, whatever process it is in.

    Args:
        overrides: As on the command line.
        trust: Packages whose classes a config may build.
        force: Repeat finished runs.
    """

    def __init__(self, overrides: Sequence[str], *, trust: tuple[str, ...], force: bool) -> None:
        self.overrides, self.trust, self.force = list(overrides), trust, force
        self.code, self.expected = OK, 1
        self._said: set[str] = set()
        self.stop: StopSignal | None = None
        self.__module__, self.__name__ = type(self).__module__, "sciml"  # hydra.main reads both

    def __call__(self, cfg: Any) -> int:
        """Run one composed config."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        from .runs import requeued

        runtime = HydraConfig.get()
        # Unresolved: an interpolation in an override is for the config, not for Hydra's list of overrides.
        job: list[str] = OmegaConf.to_container(runtime.overrides.task, resolve=False)  # type: ignore[assignment]
        ended: dict[str, Any] = {"overrides": job, "state": "failed", "code": FAILED}
        try:
            with nullcontext(self.stop) if self.stop else StopSignal() as stop:
                ended |= self._run(cfg, job, dict(runtime.runtime.choices), stop)
                ended |= requeued(ended, stop)
        finally:
            file_result(ended)
        self.code = ended["code"]
        if ended["state"] == "stopped":  # ends a sweep too: Hydra lets a SystemExit through
            raise SystemExit(self.code)
        return self.code

    def _run(self, cfg: Any, job: list[str], choices: dict[str, Any], stop: StopSignal) -> dict[str, Any]:
        from .leftovers import leftovers
        from .request import request_of
        from .runs import perform

        try:
            request = request_of(cfg, choices, job, trust=self.trust, force=self.force, origin=place_of(job))
        except UsageError as error:
            screen.error(str(error))
            return {"state": "refused", "code": USAGE, "error": str(error)}
        with suppress(UsageError):  # a config that is refused says itself what is wrong
            for line in leftovers(request, cfg, job):
                if line not in self._said:  # once, not for every job
                    self._said.add(line)
                    screen.note(line)
        return perform(request, stop=stop)


def file_result(ended: dict[str, Any]) -> None:
    """Have the process that started a multirun hear how one of its jobs ended."""
    if path := os.environ.get(_RESULTS):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(ended) + "\n")


def trusted(named: Sequence[str]) -> tuple[str, ...]:
    """The packages that configs may build from: those named now and those in ``SCIML_TRUST``.

    They are filed in the environment, so that the workers of a launcher inherit them, and the folder
    the user stands in is made importable, as with ``python -m``.
    """
    packages = [*filter(None, os.environ.get("SCIML_TRUST", "").split(",")), *named]
    if packages:
        os.environ["SCIML_TRUST"] = ",".join(dict.fromkeys(packages))
        here = os.getcwd()
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([here, *filter(None, paths)]))
        if here not in sys.path:
            sys.path.append(here)
    return tuple(dict.fromkeys(packages))


def _refuse_options(overrides: Sequence[str]) -> None:
    """Hydra would take what begins with a dash for an option of its own, some of which bring foreign configs."""
    for override in overrides:
        if override.startswith("-"):
            raise UsageError(
                f"{override} is not an override; options of sciml stand before '--' (see: sciml train --help)"
            )


@contextmanager
def _hydra_environment(argv: list[str]) -> Iterator[None]:
    old_argv, old_full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = argv, "1"
    try:
        yield
    finally:
        sys.argv = old_argv
        if old_full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = old_full


@contextmanager
def _results(multirun: bool) -> Iterator[Path | None]:
    if not multirun:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sciml-") as folder:
        path = Path(folder, "results.jsonl")
        os.environ[_RESULTS] = str(path)
        try:
            yield path
        finally:
            del os.environ[_RESULTS]


def _summary(results: Path, expected: int) -> int:
    lines = results.read_text().splitlines() if results.exists() else []
    jobs: list[dict[str, Any]] = []
    for job in map(json.loads, lines):
        # One that was requeued has filed twice how it ended; what it filed last holds.
        again = [j for j in jobs if j["overrides"] == job["overrides"] and j["state"] == "stopped"]
        if again:
            jobs[jobs.index(again[0])] = job
        else:
            jobs.append(job)
    screen.jobs(jobs, lost=expected - len(jobs))
    if len(jobs) < expected:
        return FAILED
    return max((job["code"] for job in jobs), default=FAILED)
