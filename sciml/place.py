"""How many processes a run wants, and which of them this one is.

Processes come from ``srun`` (one task a rank), from ``torchrun`` or anything else that sets its variables (``RANK``,
``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``), or from the first process of a run on one node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sciml.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """Where this process stands among those that somebody else has started.

    Args:
        rank: Which of them it is.
        size: How many there are.
        local_rank: Which of those on its node.
        host: Where rank 0 is.
        port: Where it listens.
    """

    rank: int
    size: int
    local_rank: int
    host: str
    port: int


def wanted(trainer: Mapping[str, Any]) -> int:
    """How many processes the ``trainer`` node of a config asks for.

    Raises:
        ConfigError: Its devices, nodes or strategy are nothing that several processes can be made of.
    """
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    if not isinstance(devices, int) or devices < 1:
        if trainer.get("accelerator") != "cpu" and torch.cuda.device_count() > 1:
            raise ConfigError(f"trainer.devices is {devices}: give the number of devices, it is part of what a run is")
        devices = 1
    size = devices * int(nodes)
    if size > 1 and trainer.get("strategy", "auto") not in ("auto", "ddp"):
        raise ConfigError(f"trainer.strategy is {trainer['strategy']}; several processes train with ddp only")
    return size


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Where a launcher has put this process among several; None where it stands alone.

    Raises:
        ConfigError: A variable of the launcher is no number.
    """
    try:
        named = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= environment.keys()
        if named and int(environment["WORLD_SIZE"]) > 1:
            rank = int(environment["RANK"])
            local, port = int(environment.get("LOCAL_RANK", rank)), int(environment["MASTER_PORT"])
            return Place(rank, int(environment["WORLD_SIZE"]), local, environment["MASTER_ADDR"], port)
        # Of the step, not of the job: a batch script that calls us without srun is one process, whatever it asked for.
        if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", "0"))
            return Place(
                int(environment["SLURM_PROCID"]),
                int(environment["SLURM_STEP_NUM_TASKS"]),
                int(environment["SLURM_LOCALID"]),
                environment.get("MASTER_ADDR") or _first_node(environment),
                int(environment.get("MASTER_PORT") or 12000 + (31 * job + step) % 20000),
            )
    except (KeyError, ValueError) as error:
        raise ConfigError(f"the launcher's variables do not say which process this is: {error}") from error
    return None


def _first_node(environment: Mapping[str, str]) -> str:
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    if environment.get("SLURM_STEP_NUM_NODES", "1") == "1":
        return "127.0.0.1"
    return SLURMEnvironment.resolve_root_node_address(environment["SLURM_STEP_NODELIST"])


def behind() -> bool:
    """Whether another process speaks for this one."""
    try:
        spot = place()
    except ConfigError:
        return False
    return spot is not None and spot.rank > 0


def processes(trainer: Mapping[str, Any]) -> tuple[int, Place | None]:
    """How many processes make a run, and where this one stands if they have been started together.

    Args:
        trainer: The ``trainer`` node of the run's config.

    Raises:
        ConfigError: They cannot be made of what it asks for, or another number has been started.
    """
    size, spot = wanted(trainer), place()
    if spot is not None and spot.size != size:
        raise ConfigError(
            f"{spot.size} processes have been started, but trainer.devices x trainer.num_nodes is {size};"
            " set them to the number of devices a node and the number of nodes"
        )
    if spot is None and size > 1 and trainer.get("num_nodes", 1) != 1:
        raise ConfigError(f"trainer.num_nodes is {trainer['num_nodes']}: start the processes with srun or torchrun")
    return size, spot
