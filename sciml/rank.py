"""One more process of a run whose first process started it: ``python -m sciml.rank``, the run as JSON on stdin."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from sciml.imports import load

_PR_SET_PDEATHSIG = 1


def start(rank: int, size: int, port: int, request: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start process ``rank`` of ``size``, which meets this one on a port of this machine.

    Args:
        rank: Which of the processes it is.
        size: How many there are.
        port: Where this process listens.
        request: The run, as :meth:`sciml.run.Request.shipped` gives it.
    """
    variables = {
        "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    environment.pop("TORCHELASTIC_USE_AGENT_STORE", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "sciml.rank"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps({**request, "parent": os.getpid()}).encode())
    return process


def main() -> None:
    """Take part in the run; the exit code is the run's."""
    if sys.platform == "linux":
        # A first process that is killed takes this one along: there is nobody left to train with.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = json.load(sys.stdin)
    if os.getppid() != asked.pop("parent"):
        raise SystemExit(1)
    load()
    from sciml.run import Request, execute

    execute(Request(**{**asked, "trust": tuple(asked["trust"])}))


if __name__ == "__main__":
    main()
