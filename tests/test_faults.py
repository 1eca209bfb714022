"""What goes wrong on real machines ends in one clear line, and nothing that was finished is lost."""

from __future__ import annotations

import atexit
import errno
import fcntl
import itertools
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import child, request, run, wait, wait_for_step

from sciml import checkpoint, files, track
from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder
from sciml.run import Outcome, Request, execute

STEPS = {"trainer": {"max_steps": 60}}


def logged(folder: RunFolder) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def assert_same_run(a: Outcome, b: Outcome) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        left, right = (torch.load(o.folder.path / name, weights_only=True)["state_dict"] for o in (a, b))
        assert all(torch.equal(left[key], right[key]) for key in left), name
    assert a.row["metrics"] == b.row["metrics"]
    assert a.row["cost"] == b.row["cost"]
    assert logged(a.folder) == logged(b.folder)


def stopped_at(asked: Request, step: int) -> None:
    """A run that was killed at a step, with the checkpoints that it left."""
    pid = child(lambda: int(execute(asked).found))
    wait_for_step(asked.folder, step)
    os.kill(pid, signal.SIGKILL)
    wait(pid)
    assert not asked.folder.row.exists()


# ---------------------------------------------------------------- checkpoints


@pytest.mark.slow
def test_kills_while_checkpoints_are_written_lose_nothing(tmp_path: Path) -> None:
    """Twenty lives, each ended by SIGKILL at a random operation of a write: within the data or between two names."""
    steps = {"trainer": {"max_steps": 400}}
    whole, asked = run(tmp_path / "whole", **steps), request(tmp_path / "parts", **steps)
    rng, reached = random.Random(0), 0
    for _ in range(20):
        fatal = rng.randint(4, 40)

        def life(fatal: int = fatal) -> int:
            count = 0

            def perilous(function: Any, half: bool = False) -> Any:
                def call(*args: Any, **kwargs: Any) -> Any:
                    nonlocal count
                    count += asked.folder.last.exists()
                    if count == fatal and not half:
                        os.kill(os.getpid(), signal.SIGKILL)
                    result = function(*args, **kwargs)
                    if count == fatal:
                        path = Path(args[1])
                        os.truncate(path, path.stat().st_size // 2)
                        os.kill(os.getpid(), signal.SIGKILL)
                    return result

                return call

            from lightning.pytorch import Trainer

            Trainer.save_checkpoint = perilous(Trainer.save_checkpoint, half=True)  # type: ignore[method-assign]
            for name in ("fsync", "link", "replace"):
                setattr(os, name, perilous(getattr(os, name)))
            return int(execute(asked).found)

        assert wait(child(life)) == -signal.SIGKILL
        state = checkpoint.latest(asked.folder)
        step = state["global_step"] if state else 0
        assert step >= reached, "what was saved stays saved"
        reached = step
    assert reached > 0
    assert_same_run(whole, execute(asked))
    assert not asked.folder.previous.exists()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def flip(path: Path) -> None:
    """One bit in the middle of a weight: the archive is in order, and torch loads it without a word."""
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state_dict"]["network.0.weight"]
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink])
def test_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, harm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = request(tmp_path / "broken", **STEPS, nap=0.002)
    stopped_at(asked, 30)
    before = torch.load(asked.folder.previous, weights_only=True)["global_step"]
    assert before == torch.load(asked.folder.last, weights_only=True)["global_step"] - 5
    harm(asked.folder.last)
    with caplog.at_level(logging.WARNING, "sciml"):
        resumed = execute(asked)
    lines = [record.message for record in caplog.records]
    what = "gone" if harm is Path.unlink else "damaged"
    assert lines == [f"{asked.folder.last} is {what}; the run goes on from the checkpoint before, step {before}"]
    assert_same_run(run(tmp_path / "whole", **STEPS, nap=0.002), resumed)


def test_two_damaged_checkpoints_are_one_line_and_stay(tmp_path: Path) -> None:
    asked = request(tmp_path, **STEPS, nap=0.002)
    stopped_at(asked, 30)
    truncate(asked.folder.last)
    truncate(asked.folder.previous)
    before = {path.name: path.read_bytes() for path in asked.folder.path.glob("*.ckpt")}
    line = rf"^last\.ckpt and previous\.ckpt in {asked.folder.path} are both damaged; start afresh with --force$"
    with pytest.raises(UsageError, match=line):
        execute(asked)
    assert {path.name: path.read_bytes() for path in asked.folder.path.glob("*.ckpt")} == before
    assert execute(request(tmp_path, force=True, **STEPS)).row["metrics"]


def test_a_file_system_without_hard_links_keeps_the_one_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path, before = tmp_path / "last", tmp_path / "previous"
    for text in ("one", "two", "three"):
        with files.replacing(path, keep=before) as temporary:
            temporary.write_text(text)
    assert (path.read_text(), before.read_text()) == ("three", "two")
    assert sorted(tmp_path.iterdir()) == [path, before]


# ---------------------------------------------------------------- disks


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A file system of its own; only root can have one."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def large(outputs: Path, **changes: Any) -> Request:
    """A network whose checkpoint has 180 kB."""
    asked = request(outputs, **STEPS, **changes)
    asked.tree["pinn"]["network"]["width"] = 5000
    return asked


def test_disk_that_fills_up_during_a_checkpoint(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "700k"):
        asked = large(tmp_path / "small")
        finished = run(tmp_path / "small", seed=7)
        row = finished.folder.row.read_bytes()
        with pytest.raises(RunError) as caught:
            execute(asked)
        assert str(caught.value) == (
            f"no space left to write {asked.folder.last}; free some and run the same command again: it resumes"
        )
        assert finished.folder.row.read_bytes() == row
        assert not list(asked.folder.path.glob(".*.tmp")), "what was half written gives its space back"
        state = checkpoint.latest(asked.folder)
        assert state
        assert state["global_step"] > 0
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path / "small")], check=True)
        assert_same_run(execute(large(tmp_path / "whole")), execute(asked))


def immutable(path: Path, flag: str) -> None:
    """Make a folder refuse every change (``+i``), from root too, or no longer (``-i``)."""
    chattr = shutil.which("chattr")
    done = subprocess.run([chattr or "false", flag, str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no folder can be made read-only for root here: {done.stderr.strip() or 'there is no chattr'}")


@pytest.mark.parametrize("real", [True, False])
def test_folder_that_becomes_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool) -> None:
    import toy_package

    asked = request(tmp_path / "parts", **STEPS)
    losses = toy_package.Toy.losses

    def refuse(*args: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def lock_after_thirty(self: Any) -> Any:
        if self.count == 30 and real:
            immutable(asked.folder.path, "+i")
        elif self.count == 30:
            monkeypatch.setattr(os, "replace", refuse)
            monkeypatch.setattr(Path, "write_text", refuse)
        return losses(self)

    with monkeypatch.context() as patch:
        patch.setattr(toy_package.Toy, "losses", lock_after_thirty)
        try:
            with pytest.raises(RunError) as caught:
                execute(asked)
        finally:
            if real and asked.folder.path.exists():
                immutable(asked.folder.path, "-i")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"cannot write {asked.folder.path}/")
    assert str(caught.value).endswith("; choose another place with outputs=<folder>")
    assert torch.load(asked.folder.last, weights_only=True)["global_step"] in (25, 30)
    assert_same_run(run(tmp_path / "whole", **STEPS), execute(asked))


def test_without_locks_a_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with caplog.at_level(logging.WARNING, "sciml"):
        outcome = run(tmp_path)
    line = f"{outcome.folder.path}/.lock cannot be locked (No locks available): nothing keeps two processes from"
    assert [record.message for record in caplog.records] == [f"{line} writing there at once"]


# ---------------------------------------------------------------- records


def test_truncated_row_is_named_with_what_to_do(tmp_path: Path) -> None:
    first = run(tmp_path)
    truncate(first.folder.row)
    with pytest.raises(UsageError) as caught:
        run(tmp_path)
    assert str(caught.value).startswith(f"{first.folder.row} is damaged: ")
    assert str(caught.value).endswith(
        "; delete it and run the same command again: the run ends anew from its checkpoint"
    )
    weights = first.folder.last.read_bytes()
    first.folder.row.unlink()
    again = run(tmp_path)
    assert again.row["metrics"] == first.row["metrics"]
    assert again.row["cost"] == first.row["cost"]
    state = torch.load(again.folder.last, weights_only=True)["state_dict"]
    (tmp_path / "first.ckpt").write_bytes(weights)
    for key, value in torch.load(tmp_path / "first.ckpt", weights_only=True)["state_dict"].items():
        assert torch.equal(state[key], value), "nothing was trained again"


def test_truncated_status_does_not_stop_a_run(tmp_path: Path) -> None:
    asked = request(tmp_path / "parts", **STEPS, nap=0.002)
    stopped_at(asked, 30)
    for content in (b"", b"[1]", b"\xff", b'{"state": "runn'):
        asked.folder.status.write_bytes(content)
        assert asked.folder.read_status() == {}
    assert_same_run(run(tmp_path / "whole", **STEPS, nap=0.002), execute(asked))
    assert asked.folder.read_status()["state"] == "done"


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_clock_that_jumps_changes_no_measured_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    whole = run(tmp_path / "whole", **STEPS, nap=0.002)
    asked = request(tmp_path / "parts", **STEPS, nap=0.002, checkpoint={"every_seconds": 0.02})
    stopped_at(asked, 30)
    real, began, saved = time.time, time.monotonic(), []
    save = checkpoint.Checkpoint._save

    def watched(self: Any, trainer: Any, path: Path, **more: Any) -> None:
        if path.name == "last.ckpt":
            saved.append(time.monotonic())
        save(self, trainer, path, **more)

    monkeypatch.setattr(checkpoint.Checkpoint, "_save", watched)
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    resumed = execute(asked)
    taken = time.monotonic() - began
    assert_same_run(whole, resumed)
    assert 60 * 0.002 < resumed.row["wall_seconds"] < taken + 60
    assert len(saved) >= 2, "before the end too"
    assert all(b - a >= 0.02 for a, b in itertools.pairwise(saved[:-1])), "not at every step"
    status = asked.folder.read_status()
    assert status["state"] == "done"
    assert status["updated"] == pytest.approx(real() + jump, abs=60)


# ---------------------------------------------------------------- W&B


def wandb_core(pid: int) -> list[int]:
    """The service processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("wandb-core") and int(rest.split()[1]) == pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_service_of_wandb_killed_in_the_middle(tmp_path: Path) -> None:
    """The run finishes with one warning, and its process ends without another word."""
    said = tmp_path / "said"

    def work() -> int:
        sys.stderr = open(said, "w", buffering=1)  # noqa: SIM115
        atexit._clear()  # what other tests left to be done at the end of their process
        # The service of an earlier test in this process would be taken, and is not this child's to kill.
        os.environ.pop("WANDB_SERVICE", None)
        logging.getLogger("sciml").addHandler(logging.StreamHandler(sys.stderr))
        track.OFFLINE_PATIENCE = 0.0
        killed: list[int] = []
        started: list[Any] = []
        start = track._start_wandb
        track._start_wandb = lambda *args: started.append(start(*args)) or started[0]
        import toy_package

        losses, end = toy_package.Toy.losses, time.monotonic() + 60

        def deadly(self: Any) -> Any:
            if not killed and started:
                for pid in wandb_core(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            if not killed:
                assert time.monotonic() < end, "W&B started no service" if started else "W&B did not start"
                time.sleep(0.02)
                self.trainer.fit_loop.epoch_loop.max_steps += 1  # until there is something to kill
            return losses(self)

        toy_package.Toy.losses = deadly
        outcome = run(tmp_path / "runs", track={"mode": "offline"})
        assert killed
        atexit._run_exitfuncs()
        return 0 if outcome.folder.row.exists() else 1

    assert wait(child(work), 120) == 0
    lines = said.read_text().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("W&B stopped taking data: ")
    assert lines[0].endswith("; the run folder has everything")


def test_offline_mirror_that_cannot_start_while_the_run_goes_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(track, "_start_wandb", lambda *args: 1 / 0)
    monkeypatch.setattr(track, "OFFLINE_PATIENCE", 0.0)
    with caplog.at_level(logging.WARNING, "sciml"):
        assert run(tmp_path, nap=0.002, track={"mode": "offline"}).folder.row.exists()
    assert [record.message for record in caplog.records] == [
        "W&B did not start: division by zero; the run folder has everything"
    ]


def test_mirror_that_hangs_does_not_hold_the_run_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(track, "_start_wandb", lambda *args: time.sleep(60))
    monkeypatch.setattr(track, "PARTING", 0.1)
    monkeypatch.setattr(track, "SILENT", 0.05)
    with caplog.at_level(logging.INFO, "sciml"):
        assert run(tmp_path, track={"mode": "offline"}).folder.row.exists()
    assert "waiting for W&B, at most 0 s; the run folder has everything" in caplog.text
    assert "W&B does not answer after 0 s; the run folder has everything" in caplog.text
