"""Who is at work, told by locks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from helpers import child, wait

from sciml.attendance import attending, living, owned
from sciml.folder import RunFolder
from sciml.sweep import Submission, Sweep


def test_a_launcher_lives_as_long_as_it_attends(tmp_path: Path) -> None:
    sweep = Sweep(path=tmp_path, command="", time=0.0, commit={}, trust=(), runs=())
    mine = Submission(
        time=0.0, launcher="local", settings={}, waits=True, host=socket.gethostname(), pid=os.getpid(), tasks=()
    )
    assert not living(sweep, mine)
    with attending(sweep):
        assert living(sweep, mine)
    assert not living(sweep, mine)
    assert not list(tmp_path.iterdir())


def test_a_run_folder_is_owned_by_the_process_that_holds_its_lock(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not owned(folder)
    with folder.lock():
        assert owned(folder)
    assert not owned(folder)

    def killed() -> int:
        with folder.lock():
            os._exit(3)

    assert wait(child(killed)) == 3
    assert folder.path.joinpath(".lock").exists()
    assert not owned(folder)
