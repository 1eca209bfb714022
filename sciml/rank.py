"""One more process of a run whose first process started it: ``python -m sciml.rank``, the run as JSON on stdin."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take part in the run; the exit code is the run's."""
    if sys.platform == "linux":
        # A first process that is killed takes this one along: there is nobody left to train with.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = json.load(sys.stdin)
    if os.getppid() != asked.pop("parent"):
        raise SystemExit(1)
    from sciml.run import Request, execute

    execute(Request(**{**asked, "trust": tuple(asked["trust"])}))


if __name__ == "__main__":
    main()
