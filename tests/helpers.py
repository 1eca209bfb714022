"""Runs of the user's method in tests/user, as a test wants them."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from sciml.folder import RunFolder
from sciml.run import Outcome, Request, execute

USER = Path(__file__).parent / "user"


def tree(outputs: Path, /, **changes: Any) -> dict[str, Any]:
    """A resolved config of the toy method; ``changes`` go to the method, or to a top-level key if it is one."""
    network = {"_target_": "toy_package.Net", "_partial_": True, "width": 8}
    optimizer = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01}
    config: dict[str, Any] = {
        "seed": 0,
        "deterministic": True,
        "threads": 1,
        "outputs": str(outputs),
        "checkpoint": {"every_seconds": 0},
        "track": {"mode": "disabled", "project": "sciml", "entity": None, "group": None, "tags": []},
        "paper": dict.fromkeys(("title", "authors", "year", "venue", "url", "code")),
        "trainer": {"_target_": "lightning.pytorch.Trainer", "max_steps": 40, "accelerator": "cpu", "devices": 1},
        "network": network,
        "optimizer": optimizer,
        "pinn": {"_target_": "toy_package.Toy", "network": dict(network), "optimizer": dict(optimizer)},
    }
    for key, value in changes.items():
        if isinstance(config.get(key), dict) and isinstance(value, dict):
            config[key] = {**config[key], **value}
        elif key in config:
            config[key] = value
        else:
            config["pinn"][key] = value
    return config


def request(outputs: Path, /, *, force: bool = False, **changes: Any) -> Request:
    """A request for the toy method."""
    return Request(
        tree(outputs, **changes), None, "mine/toy", trust=("toy_package",), force=force, command="sciml train x"
    )


def run(outputs: Path, /, **changes: Any) -> Outcome:
    """Run the toy method."""
    return execute(request(outputs, **changes))


def child(work: Callable[[], int | None]) -> int:
    """Run ``work`` in a forked process, which costs no import; its exit code is the result.

    What it prints is dropped, but for the traceback of an error that nobody expects: pytest shows it with the test.

    Returns:
        The process id.
    """
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            os.dup2(devnull, 2)
            code = work() or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 98
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            os.write(stderr, traceback.format_exc().encode())
        finally:
            os._exit(code)
    return pid


def wait(pid: int, seconds: float = 60) -> int:
    """Exit code of a child, ``-signum`` if a signal ended it; a child that hangs is killed and fails the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"process {pid} did not end within {seconds} s")


def wait_for_step(folder: RunFolder, step: int, seconds: float = 30) -> None:
    """Wait until a run has logged ``step``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if folder.metrics.exists() and f'"step": {step},' in folder.metrics.read_text():
            return
        time.sleep(0.005)
    raise AssertionError(f"{folder.path} did not reach step {step} within {seconds} s")


if str(USER) not in sys.path:
    sys.path.append(str(USER))


# What acts once in many steps acts in a short run too.
OFTEN = {"every:": "every=3", "pool:": "pool=200"}


def often(choice: str) -> list[str]:
    """The overrides for what a choice of a PINN slot brings, and does not have of what the experiment sets."""
    slot, option = choice.split("=")
    if not slot.startswith("pinn/"):
        return []
    text, key = files("sciml.conf").joinpath(f"{slot}/{option}.yaml").read_text(), slot.replace("/", ".")
    found = [f"{key}.{value}" for name, value in OFTEN.items() if f"\n{name}" in text]
    return [*found, f"~{key}.weights"] if slot == "pinn/weighting" and "\nweights:" not in text else found
