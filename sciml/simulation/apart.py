"""Samples for a run: made in its own process if that is quick, else by a program of its own on all cores.

A run has threads, settings of torch and perhaps a device: it is not to be forked. So a fresh Python is started, told
on its standard input what to make, and prints the number of each chunk that is there. It is worth its imports only if
there is a lot to do, which the first chunk tells.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from sciml.errors import RunError
from sciml.launcher.local import cores, die_with_parent
from sciml.simulation.making import Made, Plan, forked, here

PAYS = 10.0  # seconds of work from which on processes are started


def measured(plan: Plan, chunks: Sequence[int], made: Made) -> None:
    """Make chunks, in this process or apart from it.

    Raises:
        RunError: One cannot be made; those before it are kept.
    """
    started = time.monotonic()
    here(plan, chunks[:1], made)
    rest = chunks[1:]
    if len(rest) * (time.monotonic() - started) > PAYS and cores() > 1:
        apart(plan, rest, made)
    else:
        here(plan, rest, made)


def apart(plan: Plan, chunks: Sequence[int], made: Made) -> None:
    """Make chunks in a fresh Python and its children, one a core.

    Raises:
        RunError: One cannot be made, or the program was killed; those that are there are kept.
    """
    kind = type(plan.simulation)
    order = {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "parameters": plan.simulation.parameters(),
        "n": plan.n,
        "seed": plan.seed,
        "folder": str(plan.folder.resolve()),
        "chunks": list(chunks),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C is for the run
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin:
            process.stdin.write(json.dumps(order))
        for line in process.stdout:
            said = json.loads(line)
            if "error" in said:
                error = RunError(said["error"])
                error.add_note(said["trace"])
                raise error
            made(said["made"])
        if process.wait() != 0:
            raise RunError(f"the program that makes samples ended with exit code {process.returncode}")
    except BrokenPipeError:
        raise RunError(f"the program that makes samples ended with exit code {process.wait()}") from None
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def main() -> None:
    """What the fresh Python does."""
    die_with_parent()
    if os.getppid() != int(sys.argv[1]):
        return
    order = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a simulation prints is no answer

    def say(**said: object) -> None:
        answers.write(json.dumps(said) + "\n")

    torch.set_num_threads(1)  # a process that has used more is not to be forked
    kind = getattr(importlib.import_module(order["module"]), order["name"])
    plan = Plan(kind(**order["parameters"]), order["n"], order["seed"], Path(order["folder"]))
    try:
        forked(plan, order["chunks"], lambda chunk: say(made=chunk), cores())
    except RunError as error:
        say(error=str(error), trace=traceback.format_exc())


if __name__ == "__main__":
    main()
