"""scripts/bootstrap with a stand-in for Python and pip that installs nothing and takes notes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/usr/bin/env bash
# {version} {venv}
case "$1 $2" in
  "-V ") echo "Python {version}" ;;
  "-c import sys; sys.exit(sys.version_info < (3, 11))") [[ {version} != 3.10* ]] ;;
  "-c import sys; print(sys.executable)") realpath "$0" ;;
  "-c import ensurepip, venv") {venv} ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
  "-m pip")
    echo "pip ${{*: -1}}" >>calls
    while [[ -e hold ]]; do sleep 0.02; done
    [[ ! -e fail ]] || exit 1
    cp "$0" "$(dirname "$0")/sciml" ;;
esac
"""


class Checkout:
    """A folder with the scripts, and a PATH on which the stand-in is the only Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a checkout"
        self.commands = folder / "commands"
        (self.folder / "scripts").mkdir(parents=True)
        self.commands.mkdir()
        shutil.copy(ROOT / "scripts/bootstrap", self.folder / "scripts")
        (self.folder / "pyproject.toml").write_text("one")
        (self.folder / "scripts/constraints.txt").write_text("torch==1")
        self.python()

    def python(self, version: str = "3.11.7", venv: str = "true") -> None:
        for name in ("python3", "python3.11", "python3.12", "python3.13"):
            (self.commands / name).write_text(PYTHON.format(version=version, venv=venv))
            (self.commands / name).chmod(0o755)

    def start(self, **variables: str) -> subprocess.Popen[str]:
        environment = {"PATH": f"{self.commands}:{os.environ['PATH']}"} | variables
        return subprocess.Popen(
            ["bash", self.folder / "scripts/bootstrap"],
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, **variables: str) -> tuple[int, str]:
        process = self.start(**variables)
        output, _ = process.communicate(timeout=20)
        return process.returncode, output

    @property
    def calls(self) -> list[str]:
        """What pip was asked to install since the last look."""
        notes = self.folder / "calls"
        lines = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return lines

    def wait_for_pip(self) -> None:
        for _ in range(500):
            if (self.folder / "calls").exists():
                return
            time.sleep(0.02)
        raise AssertionError("pip was never started")


LATER = ["pip .[launch,optuna,report,ode,data,diffusers,dev]", "pip neuraloperator==0.3.0"]
EVERYTHING = ["pip torch", *LATER]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_second_call_does_nothing_and_says_nothing(checkout: Checkout) -> None:
    code, output = checkout.run()
    assert code == 0
    assert "once" in output
    assert checkout.calls == EVERYTHING
    assert checkout.run() == (0, "")
    assert checkout.calls == []


@pytest.mark.parametrize("file", ["pyproject.toml", "scripts/constraints.txt"])
def test_a_changed_requirement_updates_without_starting_over(checkout: Checkout, file: str) -> None:
    checkout.run()
    (checkout.folder / ".venv/kept").touch()
    (checkout.folder / file).write_text("two")
    assert checkout.calls == EVERYTHING
    assert checkout.run()[0] == 0
    assert checkout.calls == LATER
    assert (checkout.folder / ".venv/kept").exists()
    assert checkout.run() == (0, "")


def test_a_moved_checkout_is_made_again(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.calls == EVERYTHING
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert checkout.run()[0] == 0
    assert checkout.calls == EVERYTHING


def test_another_interpreter_is_used_when_asked_for_and_only_then(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run()
    assert checkout.calls == EVERYTHING
    checkout.python("3.12.1")
    assert checkout.run() == (0, "")
    assert checkout.run(PYTHON=str(checkout.commands / "python3"))[0] == 0
    assert checkout.calls == EVERYTHING
    assert "3.12.1" in (checkout.folder / ".venv/.stamp").read_text()


def test_an_activated_environment_is_not_its_own_base(checkout: Checkout) -> None:
    checkout.run()
    (checkout.folder / ".venv/.stamp").unlink()
    active = f"{checkout.folder}/.venv/bin:{checkout.commands}:{os.environ['PATH']}"
    shutil.copy(checkout.folder / ".venv/bin/python", checkout.folder / ".venv/bin/python3.11")
    assert checkout.run(PATH=active)[0] == 0


@pytest.mark.parametrize("moment", ["torch", "update"])
def test_what_was_killed_half_way_is_not_trusted(checkout: Checkout, moment: str) -> None:
    if moment == "update":
        checkout.run()
        (checkout.folder / "pyproject.toml").write_text("two")
        assert checkout.calls == EVERYTHING
    (checkout.folder / "hold").touch()
    process = checkout.start()
    checkout.wait_for_pip()
    (checkout.folder / ".venv/half").touch()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout.folder / "hold").unlink()
    assert len(checkout.calls) == 1
    assert checkout.run()[0] == 0
    assert checkout.calls == EVERYTHING
    assert not (checkout.folder / ".venv/half").exists()


def test_two_at_once_install_once(checkout: Checkout) -> None:
    (checkout.folder / "hold").touch()
    first = checkout.start()
    checkout.wait_for_pip()
    second = checkout.start()
    assert second.stdout is not None
    assert "waiting" in second.stdout.readline()
    (checkout.folder / "hold").unlink()
    first.communicate(timeout=20)
    second.communicate(timeout=20)
    assert (first.returncode, second.returncode) == (0, 0)
    assert checkout.calls == EVERYTHING


def test_an_environment_of_someone_else_is_moved_aside(checkout: Checkout) -> None:
    (checkout.folder / ".venv").mkdir()
    (checkout.folder / ".venv/pyvenv.cfg").write_text("theirs")
    code, output = checkout.run()
    assert code == 0
    assert ".venv/before" in output
    assert (checkout.folder / ".venv/before/pyvenv.cfg").read_text() == "theirs"
    assert checkout.calls == EVERYTHING


def refused(result: tuple[int, str]) -> str:
    code, output = result
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("bootstrap: ")]
    return line


def test_an_old_python_is_one_line(checkout: Checkout) -> None:
    checkout.python("3.10.2")
    assert "needs Python 3.11 or newer" in refused(checkout.run())
    line = refused(checkout.run(PYTHON="/nowhere/python"))
    assert "/nowhere/python" in line
    assert "set PYTHON=" in line


def test_a_python_without_venv_is_one_line(checkout: Checkout) -> None:
    checkout.python(venv="false")
    line = refused(checkout.run())
    assert "has no venv module" in line
    assert "python3-venv" in line


def test_a_full_disk_is_one_line(checkout: Checkout) -> None:
    df = checkout.commands / "df"
    df.write_text("#!/bin/sh\necho head\necho disk 9999999 9 102400 99% /\n")
    df.chmod(0o755)
    assert "needs 4000 MiB free" in (line := refused(checkout.run()))
    assert line.endswith("there are 100")
    assert checkout.calls == []


def test_a_failing_pip_leaves_nothing_that_is_trusted(checkout: Checkout) -> None:
    (checkout.folder / "fail").touch()
    assert "pip failed" in refused(checkout.run())
    (checkout.folder / "fail").unlink()
    checkout.calls  # noqa: B018
    assert checkout.run()[0] == 0
    assert checkout.calls == EVERYTHING
