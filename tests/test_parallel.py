"""Several processes make the same run as one: its numbers, its interruptions, its failures, and one message."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import child, often, run, wait

from sciml import run as runs
from sciml.cli.complete import configs
from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.errors import ConfigError, RunError, Stopped
from sciml.folder import RunFolder
from sciml.parallel import Ranks, check_network, check_rows
from sciml.pinn.module import Pinn
from sciml.place import Place, place, wanted
from sciml.run import Request, execute
from sciml.signals import exit_code

PINN = [
    "+experiment=daw2023r3/convection", "pinn.problem.grid.x=32", "pinn.problem.grid.t=17", "pinn.n_val=64",
    "pinn.n_points=101", "pinn.log_every=5", "pinn.val_every=10", "network.width=16", "network.depth=2",
]  # fmt: skip
OPERATOR = [
    "+experiment=baseline/heat", "operator.dataset.n_train=24", "operator.dataset.n_val=8", "operator.batch_size=7",
    "operator.dataset.n_test=8", "operator.dataset.steps=3", "operator.log_every=5", "operator.val_every=10",
]  # fmt: skip


def request(outputs: Path, *overrides: str) -> Request:
    from hydra import compose

    common = [f"outputs={outputs}", "track.mode=disabled", "trainer.accelerator=cpu", "checkpoint.every_seconds=0"]
    with hydra_session():
        cfg = compose("config", [*common, "trainer.max_steps=20", *overrides], return_hydra_config=True)
    return request_of(cfg, dict(cfg.hydra.runtime.choices), [])


def perform(asked: Request, said: Path | None = None) -> int:
    """Execute as the command line does, and put the message where the test can read it."""
    try:
        execute(asked)
    except Stopped as stopped:
        return exit_code(stopped.signum)
    except Exception as error:  # noqa: BLE001
        if said is not None:
            said.write_text(f"{type(error).__name__}: {error}")
        return 1
    return 0


def start(size: int, work: Callable[[int], int], **variables: str) -> list[int]:
    """Fork ``size`` processes with the variables that torchrun sets, each calling ``work(rank)``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def at(rank: int) -> Callable[[], int]:
        def run() -> int:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), **variables)
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            return work(rank)

        return run

    return [child(at(rank)) for rank in range(size)]


def together(asked: Request, size: int = 2, said: Path | None = None) -> list[int]:
    """Exit codes of the ranks of a run."""
    pids = start(size, lambda rank: perform(asked, said.with_suffix(f".{rank}") if said else None))
    return [wait(pid) for pid in pids]


def assert_same_numbers(one: dict[str, Any], many: dict[str, Any]) -> None:
    assert one["metrics"].keys() == many["metrics"].keys()
    for name, value in one["metrics"].items():
        assert many["metrics"][name] == pytest.approx(value, rel=1e-5), name
    assert many["cost"] == one["cost"], "the cost is that of all ranks together"
    assert many["best_step"] == one["best_step"]


def logged(folder: RunFolder) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("time", "stage")} for line in lines]


@pytest.mark.parametrize(("overrides", "size"), [(PINN, 2), (OPERATOR, 2), (PINN, 3), (OPERATOR, 3)])
def test_ranks_together_give_the_numbers_of_one_process(overrides: list[str], size: int, tmp_path: Path) -> None:
    # Neither 101 points nor batches of 7 divide evenly.
    one = execute(request(tmp_path, *overrides))
    asked = [f"trainer.devices={size}"] if size == 2 else ["trainer.devices=1", f"+trainer.num_nodes={size}"]
    several = request(tmp_path, *overrides, *asked, "+trainer.strategy=ddp")
    assert together(several, size) == [0] * size
    row = several.folder.read_row()
    assert row is not None
    assert_same_numbers(one.row, row)
    assert row["ranks"] == size
    assert "ranks" not in one.row
    left, right = logged(one.folder), logged(several.folder)
    assert [line.keys() for line in left] == [line.keys() for line in right]
    for a, b in zip(left, right, strict=True):
        assert b == pytest.approx(a, rel=1e-5)
    assert together(several, size) == [0] * size, "a finished run is found by all"


def test_a_signal_to_any_rank_stops_all_at_one_step_and_the_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    steps = ["trainer.devices=2", "trainer.max_steps=60", "pinn.log_every=60", "pinn.val_every=60"]
    whole, parts = (request(tmp_path / name, *PINN, *steps) for name in ("whole", "parts"))
    assert together(whole) == [0, 0]
    for signum, rank in ((signal.SIGTERM, 1), (signal.SIGUSR2, 0)):

        def work(own: int, signum: int = signum, rank: int = rank) -> int:
            losses, taken = Pinn.losses, []

            def interrupted(self: Pinn) -> Any:
                taken.append(1)
                if own == rank and len(taken) == 17:
                    os.kill(os.getpid(), signum)
                return losses(self)

            Pinn.losses = interrupted  # type: ignore[method-assign]
            return perform(parts)

        assert [wait(pid) for pid in start(2, work)] == [exit_code(signum)] * 2
        assert json.loads(parts.folder.status.read_text())["state"] == "stopped"
    assert torch.load(parts.folder.last, weights_only=True)["global_step"] == 34
    assert together(parts) == [0, 0]
    rows = [asked.folder.read_row() for asked in (whole, parts)]
    assert rows[0]
    assert rows[1]
    assert rows[0]["metrics"] == rows[1]["metrics"]
    assert rows[0]["cost"] == rows[1]["cost"]
    assert logged(whole.folder) == logged(parts.folder)
    alone = execute(request(tmp_path / "one", *PINN, *steps, "trainer.devices=1"))
    assert_same_numbers(alone.row, rows[1])


@pytest.mark.slow
def test_one_run_starts_its_other_process_itself(tmp_path: Path) -> None:
    one, two = (request(tmp_path, *OPERATOR, f"trainer.devices={n}") for n in (1, 2))
    assert wait(child(lambda: perform(two))) == 0
    row = two.folder.read_row()
    assert row
    assert row["ranks"] == 2
    assert_same_numbers(execute(one).row, row)


def broken(asked: Request, said: Path, rank: int, how: Callable[[], Any], step: int = 7) -> list[int]:
    """Exit codes of two ranks of which one does ``how`` at a step."""

    def work(own: int) -> int:
        losses, taken = Pinn.losses, []

        def failing(self: Pinn) -> Any:
            taken.append(1)
            return how() if own == rank and len(taken) == step else losses(self)

        Pinn.losses = failing  # type: ignore[method-assign]
        return perform(asked, said.with_suffix(f".{own}"))

    began = time.monotonic()
    codes = [wait(pid) for pid in start(2, work)]
    assert time.monotonic() - began < 50, "nobody waits for a rank that is gone"
    return codes


def test_a_rank_that_fails_ends_the_run_with_its_line_and_its_trace(tmp_path: Path) -> None:
    asked, said = request(tmp_path / "o", *PINN, "trainer.devices=2"), tmp_path / "said"

    def fail() -> None:
        raise ValueError("no such point")

    assert broken(asked, said, 1, fail) == [1, 1]
    assert said.with_suffix(".0").read_text() == "RunError: process 1 of the run: ValueError: no such point"
    assert not said.with_suffix(".1").exists(), "one message"
    assert asked.folder.read_status()["state"] == "failed"
    assert "in fail" in asked.folder.error.read_text()
    assert together(asked) == [0, 0], "the run can be gone on with"


def test_the_first_rank_that_fails_takes_the_others_along(tmp_path: Path) -> None:
    asked, said = request(tmp_path / "o", *PINN, "trainer.devices=2"), tmp_path / "said"

    def full() -> None:
        raise RunError("no space left")

    assert broken(asked, said, 0, full) == [1, 1]
    assert said.with_suffix(".0").read_text() == "RunError: no space left"
    assert not said.with_suffix(".1").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_run(rank: int, tmp_path: Path) -> None:
    asked, said = request(tmp_path / "o", *PINN, "trainer.devices=2"), tmp_path / "said"
    codes = broken(asked, said, rank, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 1
    assert not said.with_suffix(".1").exists()
    if rank == 1:
        assert "process of the run is gone (killed, or out of memory?)" in said.with_suffix(".0").read_text()
    assert together(asked) == [0, 0]


def test_a_loss_that_is_not_finite_is_named_once(tmp_path: Path) -> None:
    asked, said = request(tmp_path / "o", *PINN, "trainer.devices=2", "optimizer.lr=1e30"), tmp_path / "said"
    assert together(asked, said=said) == [1, 1]
    assert said.with_suffix(".0").read_text().startswith("Diverged: loss term '")
    assert not said.with_suffix(".1").exists()


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a batch has 1 rows, which cannot be shared by 2 ranks"):
        execute(request(tmp_path, *OPERATOR, "operator.batch_size=1", "trainer.devices=2"))
    with pytest.raises(ConfigError, match=r"trains nothing that 2 processes could share; set trainer\.devices=1"):
        execute(request(tmp_path, "+experiment=baseline/ridge", "trainer.devices=2"))
    with pytest.raises(ConfigError, match=r"Toy does not share its batches among processes; set trainer\.devices=1"):
        run(tmp_path, trainer={"devices": 2})
    with pytest.raises(ConfigError, match=r"trainer\.strategy is fsdp; several processes train with ddp only"):
        execute(request(tmp_path, *PINN, "trainer.devices=2", "+trainer.strategy=fsdp"))
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes is 2: start the processes with srun or torchrun"):
        execute(request(tmp_path, *PINN, "+trainer.num_nodes=2"))
    with pytest.raises(ConfigError, match=r"BatchNorm1d \(1\) mixes the rows of a batch"):
        check_network(torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1)))
    with pytest.raises(ConfigError, match="a has 2 rows, which cannot be shared by 3 ranks"):
        check_rows({"b": 3, "a": 2}, 3)
    assert not list(tmp_path.rglob("config.yaml"))


def test_another_number_of_processes_than_the_config_asks_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": 0, "WORLD_SIZE": 4, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ConfigError, match=r"4 processes have been started, but trainer\.devices x .* is 1"):
        execute(request(tmp_path, *PINN))
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match="2"):  # said once
        execute(request(tmp_path, *PINN))


def test_evaluation_of_a_run_of_several_needs_one_process(tmp_path: Path) -> None:
    asked = request(tmp_path, *OPERATOR, "trainer.devices=2")
    assert together(asked) == [0, 0]
    row = asked.folder.read_row()
    assert row
    found = runs.evaluate(asked.folder)
    assert found == {name: row["metrics"][name] for name in found}


SLURM = {"SLURM_JOB_ID": "40", "SLURM_STEP_ID": "1", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}


def test_place_of_a_process() -> None:
    port = 12000 + 31 * 40 + 1
    one_node = {**SLURM, "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "1"}
    assert place(one_node) == Place(rank=3, size=4, local_rank=1, host="127.0.0.1", port=port)
    nodes = {**one_node, "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[07-08]"}
    assert place(nodes) == Place(rank=3, size=4, local_rank=1, host="gpu07", port=port)
    assert place({**nodes, "MASTER_ADDR": "a", "MASTER_PORT": "5"}) == Place(3, 4, 1, "a", 5)
    assert place({**SLURM, "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None, "a batch script without srun"
    torchrun = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "7"}
    assert place({**one_node, **torchrun}) == Place(2, 4, 0, "h", 7)
    assert place({**torchrun, "WORLD_SIZE": "1", "RANK": "0"}) is None
    with pytest.raises(ConfigError, match="do not say which process this is: 'SLURM_PROCID'"):
        place({"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "1"})


@pytest.mark.parametrize(
    ("trainer", "size"),
    [
        ({}, 1),
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": [1, 3]}, 2),
        ({"devices": "2"}, 2),
        ({"devices": -1}, 1),
    ],
)
def test_number_of_processes(trainer: dict[str, Any], size: int) -> None:
    assert wanted({"accelerator": "cpu", **trainer}) == size


def test_shares_are_all_rows_once() -> None:
    rows = torch.arange(10.0)[:, None]
    for size in (1, 2, 3, 7, 10):
        group = [Ranks(rank, size) for rank in range(size)]
        parts = [one.share(rows) for one in group]
        assert torch.equal(torch.cat(parts), rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert torch.equal(sum(one.spread(part, 10) for one, part in zip(group, parts, strict=True)), rows)


CHOICES = [
    f"pinn/{slot}={name.rpartition('/')[2]}"
    for slot in ("collocation", "weighting")
    for name in configs()
    if name.startswith(f"pinn/{slot}/")
]


def test_every_collocation_and_weighting_works_on_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or says that it does not; found by their configs."""
    monkeypatch.setattr(Pinn, "figures", lambda self: {})
    refused = []
    for choice in CHOICES:
        short = [*PINN, choice, "trainer.max_steps=6", *often(choice)]
        two = request(tmp_path, *short, "trainer.devices=2")
        codes = together(two, said=tmp_path / "said")
        if codes == [1, 2]:  # one of them says why
            message = tmp_path.joinpath("said.0").read_text()
            assert "does not work on several processes; set trainer.devices=1" in message, choice
            refused.append(choice)
            continue
        assert codes == [0, 0], choice
        row = two.folder.read_row()
        assert row
        one = replace(two, tree={**two.tree, "trainer": {**two.tree["trainer"], "devices": 1}})
        assert_same_numbers(execute(one).row, row)
    assert len(refused) < len(CHOICES) / 2
