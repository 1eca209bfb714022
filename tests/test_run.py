"""A run from its config to its row: found again, resumed, stopped, failed."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import child, request, run, tree, wait, wait_for_step

from sciml import folder as folders
from sciml import run as runner
from sciml.config import digest
from sciml.errors import ConfigError, Diverged, RunError, Stopped, UsageError
from sciml.folder import RunFolder
from sciml.run import evaluate, execute, load


def weights(folder: RunFolder, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder.path / name, weights_only=True)["state_dict"]


def assert_same_run(a: RunFolder, b: RunFolder) -> None:
    """Bit for bit: weights, best weights, every logged number, every metric of the row."""
    for name in ("last.ckpt", "best.ckpt"):
        left, right = weights(a, name), weights(b, name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left), name
    assert json.loads(a.row.read_text())["metrics"] == json.loads(b.row.read_text())["metrics"]
    assert logged(a) == logged(b)


def logged(folder: RunFolder) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def test_row_says_what_was_run_and_where_it_comes_from(tmp_path: Path) -> None:
    outcome = run(tmp_path, seed=3)
    row = json.loads(outcome.folder.row.read_text())
    assert row == json.loads(json.dumps(outcome.row))
    assert outcome.folder.path == tmp_path / "mine/toy" / f"{row['hash']}-seed3"
    assert row["experiment"] == "mine/toy"
    assert (row["family"], row["seed"], row["threads"], row["precision"]) == ("pinn", 3, 1, "32-true")
    assert row["cost"] == {"steps": 40, "samples": 640, "parameters": 25}
    assert row["warnings"] == ["this is a toy"]
    assert row["command"] == "sciml train x"
    assert set(row["metrics"]) == {"rel_l2", "max_error", "best/rel_l2", "best/max_error"}
    assert 0 < row["wall_seconds"] < 60
    assert 50 < row["peak_memory_mb"] < 10_000
    assert row["versions"]["torch"] == torch.__version__
    assert row["device"]
    assert {"commit", "dirty", "started"} <= row.keys()
    assert json.loads(outcome.folder.status.read_text())["state"] == "done"
    assert (outcome.folder.figures / "line.png").read_bytes().startswith(b"\x89PNG")


def test_same_config_and_seed_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    first, second, other = run(tmp_path / "a"), run(tmp_path / "b"), run(tmp_path / "c", seed=1)
    assert_same_run(first.folder, second.folder)
    assert first.row["metrics"] != other.row["metrics"]
    assert first.row["hash"] == other.row["hash"]


def test_finished_run_is_found_and_force_repeats_it(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = first.folder.row.read_bytes()
    again = run(tmp_path)
    assert again.found
    assert again.row == json.loads(before)
    assert first.folder.row.read_bytes() == before
    repeated = run(tmp_path, force=True)
    assert not repeated.found
    assert repeated.row["metrics"] == first.row["metrics"]
    assert (first.folder.path / "row.previous.json").read_bytes() == before


def test_forced_repetition_that_fails_keeps_the_finished_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path)
    before = first.folder.row.read_bytes()
    import toy_package

    monkeypatch.setattr(toy_package.Toy, "losses", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, force=True)
    assert (first.folder.path / "row.previous.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"paper": {"title": "x"}}, True),
        ({"track": {"project": "other", "tags": ["a"]}}, True),
        ({"checkpoint": {"every_seconds": 7}}, True),
        ({"outputs": "elsewhere"}, True),
        ({"seed": 5}, True),
        ({"log_every": 7}, False),
        ({"threads": 2}, False),
        ({"deterministic": False}, False),
        ({"trainer": {"max_steps": 41}}, False),
        ({"optimizer": {"lr": 0.02}}, False),
    ],
)
def test_hash_leaves_out_what_cannot_change_the_result(tmp_path: Path, change: dict[str, Any], same: bool) -> None:
    assert (digest(tree(tmp_path)) == digest(tree(tmp_path, **change))) is same


def test_run_killed_at_random_steps_ends_bit_identical(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", trainer={"max_steps": 120}, nap=0.002)
    broken = request(tmp_path / "broken", trainer={"max_steps": 120}, nap=0.002)
    rng = random.Random(0)
    step = 0
    for _ in range(3):
        step += 5 * rng.randint(2, 6)
        pid = child(lambda: int(execute(broken).found))
        wait_for_step(broken.folder, step)
        os.kill(pid, signal.SIGKILL)
        assert wait(pid) == -signal.SIGKILL
        assert not broken.folder.row.exists()
    resumed = execute(broken)
    assert not resumed.found
    assert_same_run(whole.folder, resumed.folder)
    assert resumed.row["cost"] == whole.row["cost"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_signal_saves_the_step_and_the_run_goes_on_bit_identical(tmp_path: Path, signum: signal.Signals) -> None:
    whole = run(tmp_path / "whole", log_every=150, trainer={"max_steps": 300}, nap=0.002)
    stopped = request(
        tmp_path / "stopped", log_every=150, trainer={"max_steps": 300}, nap=0.002, checkpoint={"every_seconds": 1000}
    )

    def work() -> int:
        try:
            execute(stopped)
        except Stopped as error:
            return error.signum
        return 0

    pid = child(work)
    wait_for_step(stopped.folder, 150)
    os.kill(pid, signum)
    assert wait(pid) == signum
    step = torch.load(stopped.folder.last, weights_only=True)["global_step"]
    assert 150 <= step < 300  # at the step in progress, not at the end of the chunk
    assert json.loads(stopped.folder.status.read_text())["state"] == "stopped"
    assert_same_run(whole.folder, execute(stopped).folder)


def test_a_signal_ends_a_test_at_once_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the test went on")

    with monkeypatch.context() as patched:
        patched.setattr("toy_package.Toy.test_step", killed)
        with pytest.raises(Stopped) as stopped:
            run(tmp_path)
    assert stopped.value.signum == signal.SIGTERM
    folder = RunFolder(Path(stopped.value.folder))
    assert (folder.read_status()["state"], folder.read_status()["error"]) == ("stopped", "signal 15")
    assert not folder.error.exists()
    assert run(tmp_path).row["cost"]["steps"] == 40


def test_an_interruption_of_a_test_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("toy_package.Toy.test_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    (status,) = tmp_path.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "stopped"
    assert not list(tmp_path.rglob("error.txt"))


def test_second_process_on_the_same_run_refuses(tmp_path: Path) -> None:
    slow = request(tmp_path, trainer={"max_steps": 5000}, nap=0.01)
    pid = child(lambda: int(execute(slow).found))
    try:
        wait_for_step(slow.folder, 5)
        with pytest.raises(
            RunError, match=rf"{slow.folder.path} is in use by process {pid} on .*; wait for it or stop it"
        ):
            execute(slow)
    finally:
        os.kill(pid, signal.SIGKILL)
        wait(pid)
    with slow.folder.lock():  # a killed process leaves no lock behind
        pass


def test_loss_that_is_not_a_number_stops_the_run_and_names_term_and_step(tmp_path: Path) -> None:
    failing = request(tmp_path, nan_at=13)
    with pytest.raises(Diverged, match=r"^loss term 'zero' became nan at step 13$"):
        execute(failing)
    status = json.loads(failing.folder.status.read_text())
    assert status["state"] == "failed"
    assert "step 13" in status["error"]
    assert "Traceback" in failing.folder.error.read_text()
    assert not failing.folder.row.exists()


def test_metric_that_is_not_a_number_makes_no_row(tmp_path: Path) -> None:
    failing = request(tmp_path, nan_metric=True)
    with pytest.raises(RunError, match="metric 'max_error' is nan after 40 steps"):
        execute(failing)
    assert not failing.folder.row.exists()


def test_failed_run_starts_again_and_its_trace_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import toy_package

    with monkeypatch.context() as patch:
        patch.setattr(toy_package.Toy, "test_step", lambda self, batch, i: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path)
        assert request(tmp_path).folder.error.exists()
    outcome = run(tmp_path)
    assert not outcome.found
    assert not outcome.folder.error.exists()


def test_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        run(tmp_path, log_every=0)
    assert not list(tmp_path.rglob("config.yaml"))
    finished = run(tmp_path).folder
    with pytest.raises(ConfigError, match=r"bad value for track\.mode: 'on' is not one of offline, online, disabled"):
        run(tmp_path, force=True, track={"mode": "on"})  # not part of the hash: the same folder
    assert finished.row.exists()
    assert finished.last.exists()


def test_run_that_trains_needs_steps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.max_steps must be at least 1"):
        run(tmp_path, trainer={"max_steps": 0})


def test_constructor_that_refuses_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="log_every must be at least 1"):
        run(tmp_path, log_every=0)


def test_trainer_that_refuses_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer: .*nonsense"):
        run(tmp_path, trainer={"accelerator": "nonsense"})


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_checkpoint_executes_nothing(tmp_path: Path, zipped: bool) -> None:
    planted = request(tmp_path)
    planted.folder.create()
    mark = tmp_path / "executed"
    bomb = {"state_dict": {}, "global_step": 3, "callbacks": Bomb(mark)}
    if zipped:
        torch.save(bomb, planted.folder.last)
    else:
        planted.folder.last.write_bytes(pickle.dumps(bomb))
    with pytest.raises(UsageError, match=r"last\.ckpt: it holds more than tensors and plain data, and is not loaded"):
        execute(planted)
    assert not mark.exists()


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    outcome.folder.row.unlink()
    outcome.folder.last.write_bytes(outcome.folder.last.read_bytes()[:500])
    with pytest.raises(UsageError, match=r"last\.ckpt: it is damaged; delete it, or start afresh with --force"):
        run(tmp_path)
    assert not run(tmp_path, force=True).found


def test_evaluate_and_load_give_back_what_was_trained(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    metrics = outcome.row["metrics"]
    assert evaluate(outcome.folder, "last", ("toy_package",)) == {n: v for n, v in metrics.items() if "/" not in n}
    best = evaluate(outcome.folder, "best", ("toy_package",))
    assert {f"best/{n}": v for n, v in best.items()} == {n: v for n, v in metrics.items() if "/" in n}
    module = load(outcome.folder.path, trust=("toy_package",))
    assert not module.training
    assert all(torch.equal(v, weights(outcome.folder)[k]) for k, v in module.state_dict().items())
    with pytest.raises(UsageError, match="there is no checkpoint 'first': choose last or best"):
        load(outcome.folder.path, "first", ("toy_package",))


def test_load_finds_what_a_run_was_made_of_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = execute(request(tmp_path))
    seen = []
    made = runner.module_of
    monkeypatch.setattr(runner, "module_of", lambda *args: [seen.append(folders.OUTPUTS.get()), made(*args)][1])
    monkeypatch.chdir("/")
    load(done.folder.path, trust=["toy_package"])
    assert seen == [done.folder.path.parents[1].parent.resolve()]


def test_load_refuses_a_package_that_is_not_trusted(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    with pytest.raises(ConfigError, match=r"_target_ toy_package\.Toy is not trusted"):
        load(outcome.folder.path)


def test_weights_that_do_not_fit_the_config_are_named(tmp_path: Path) -> None:
    outcome, other = run(tmp_path), run(tmp_path, network={"width": 4})
    outcome.folder.last.write_bytes(other.folder.last.read_bytes())
    config = outcome.folder.config.read_text().replace("width: 8", "width: 6")
    outcome.folder.config.write_text(config)
    with pytest.raises(UsageError, match=r"last\.ckpt in .* does not fit its config"):
        load(outcome.folder.path, trust=("toy_package",))


@pytest.mark.parametrize("where", ["metrics.jsonl", "last.ckpt", "row.json", "config.yaml"])
def test_full_disk_is_one_line_and_loses_no_finished_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    finished = run(tmp_path, seed=1).folder
    row = finished.row.read_bytes()
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == where:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    if where == "metrics.jsonl":
        monkeypatch.setattr("sciml.track.Tracker._write", _full_write)
    failing = request(tmp_path, seed=2)
    with pytest.raises(RunError, match=rf"no space left to write .*{where}; free some and run the same command again"):
        execute(failing)
    assert not failing.folder.row.exists()
    assert finished.row.read_bytes() == row
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    assert_same_run(execute(failing).folder, run(tmp_path / "other", seed=2).folder)


def _full_write(self: Any, record: Any) -> None:
    raise folders.disk_error(OSError(errno.ENOSPC, ""), self._folder.metrics)


def test_really_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        with pytest.raises(
            RunError, match=rf"no space left to write {small}/.*; free some and run the same command again"
        ):
            run(small, trainer={"max_steps": 5000})
        assert not list(small.rglob("row.json"))
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*file.*: "):
        run(tmp_path / "file" / "outputs")


def test_read_only_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(
        RunError, match=r"cannot write .*: Read-only file system; choose another place with outputs=<folder>"
    ):
        run(tmp_path)
