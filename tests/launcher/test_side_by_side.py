"""The launchers that wait, local and joblib: what they run, what a signal does, what a killed command takes along."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sciml.errors import RunError, Stopped
from sciml.launcher import joblib as warm_workers
from sciml.launcher import local, warm
from sciml.launcher.base import Launcher
from sciml.launcher.joblib import Joblib
from sciml.launcher.local import Local

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
folder, what = Path(sys.argv[1]), sys.argv[2]
print("ran", what, flush=True)
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "wait":
    def stop(number, frame):
        (folder / "heard").write_text(str(number))
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    (folder / "waits").touch()
    time.sleep(30)
if what == "fail":
    sys.exit("error: it is wrong")
(folder / what).touch()
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    (tmp_path / "a_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(local, "POLL", 0.01)
    return lambda *words: [[sys.executable, "-m", "a_program", str(tmp_path), word] for word in words]


@pytest.fixture(params=[Local, Joblib])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    monkeypatch.setattr(warm_workers, "HEAVY", ())  # what a worker imports costs seconds
    yield request.param(jobs=2)
    if request.param is Joblib:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(kill_workers=True)


def test_every_command_runs_and_a_killed_one_takes_no_other_along(
    launcher: Launcher, commands: Callable[..., list[list[str]]], tmp_path: Path
) -> None:
    ended: list[tuple[int, int]] = []
    if isinstance(launcher, Joblib):
        launcher.ended = lambda index, code: ended.append((index, code))
    assert launcher.launch(commands("a", "kill", "fail", "b"), tmp_path, "n") == ["", "", "", ""]
    assert (tmp_path / "a").exists()
    assert (tmp_path / "b").exists()
    logs = [launcher.log(tmp_path, "n", i).read_text() for i in range(4)]
    assert [log.splitlines()[0] for log in logs] == ["ran a", "ran kill", "ran fail", "ran b"]
    if isinstance(launcher, Joblib):
        assert sorted(ended) == [(0, 0), (1, -9), (2, 1), (3, 0)]
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("number", "width"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_reaches_what_runs_and_nothing_else_begins(
    number: signal.Signals, width: int, launcher: Launcher, commands: Callable[..., list[list[str]]], tmp_path: Path
) -> None:
    def send() -> None:
        end = time.monotonic() + 20
        while not (tmp_path / "waits").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    launcher.jobs = width  # type: ignore[attr-defined]
    with pytest.raises(Stopped) as stopped:
        launcher.launch(commands(*["wait"] * width, "a"), tmp_path, "n")
    thread.join()
    assert stopped.value.signum == number
    # A worker of joblib's is told to stop in one way only: a terminal's Ctrl-C reaches it too.
    heard = signal.SIGTERM if isinstance(launcher, Joblib) and width > 1 else number
    assert (tmp_path / "heard").read_text() == str(int(heard))
    assert not (tmp_path / "a").exists()


def test_a_log_that_cannot_be_written(
    launcher: Launcher, commands: Callable[..., list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "n-0.log").mkdir()
    if isinstance(launcher, Joblib):
        with pytest.raises(RunError, match=r"cannot write .*n-0\.log: Is a directory"):
            launcher.launch(commands("a"), tmp_path, "n")
    else:
        assert launcher.launch(commands("a"), tmp_path, "n") == [""]
    assert not (tmp_path / "a").exists()


def test_why_a_command_failed(commands: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    made = [local.Process(command=c, log=tmp_path / f"{i}") for i, c in enumerate(commands("kill", "fail", "a"))]
    Local(jobs=3).run(made, local.View())
    assert [one.error for one in made] == ["killed by SIGKILL", "it is wrong", ""]
    assert [one.state for one in made] == ["failed", "failed", "done"]


def test_children_of_a_warm_process(tmp_path: Path) -> None:
    """They have what was imported, their own output, and the signals that come to the parent."""
    before = os.getpid()

    def child() -> int:
        os.write(1, f"in the child {os.getppid() == before}\n".encode())
        return 7

    log = tmp_path / "log"
    assert warm.in_child(child, [], log) == 7
    assert log.read_text() == "in the child True\n"
    noted: Sequence[int] = _ComesLater(signal.SIGTERM)
    assert warm.in_child(lambda: time.sleep(30) or 0, noted, log) == -signal.SIGTERM


class _ComesLater(list[int]):
    """A signal that comes when the child is there."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.looks = number, 0

    def __getitem__(self, part: object) -> list[int]:  # type: ignore[override]
        self.looks += 1
        return [self.number] if self.looks == 2 else []


def test_a_module_in_this_process(commands: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    argv = list(sys.argv)
    assert [warm.call(command) for command in commands("a", "fail")] == [0, 1]
    assert sys.argv == argv
    with pytest.raises(ValueError, match="not a module of Python: ls -l"):
        warm.call(["ls", "-l"])


def test_workers_that_are_named_in_no_file(tmp_path: Path) -> None:
    assert warm_workers._pids(tmp_path / "none") == set()
