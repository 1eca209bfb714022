"""From the nodes of a checked config to objects; the only place where any are built."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden

from sciml.config import RUNNERS, Tree
from sciml.errors import ConfigError, RunError, Stopped, UsageError
from sciml.parallel import ALONE, Environment, Lockstep, Ranks, Shares
from sciml.place import wanted
from sciml.track import Tracker


def module_of(tree: Tree, family: str, trainer: Trainer) -> LightningModule:
    """Seed, and build the family's module.

    Raises:
        ConfigError: A constructor refuses its values; the message names the key.
    """
    lightning.seed_everything(tree["seed"], workers=True, verbose=False)
    try:
        with trainer.precision_plugin.module_init_context():
            module = instantiate(tree[family], _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (UsageError, RunError, Stopped)):
            raise cause from error
        if isinstance(cause, (ValueError, TypeError)):
            raise ConfigError(f"{_key_of(error, family)}: {cause}") from error
        raise
    if not isinstance(module, LightningModule):
        raise ConfigError(f"{family}._target_ must be a LightningModule, not {type(module).__name__}")
    return module


def _key_of(error: InstantiationException, family: str) -> str:
    _, _, key = str(error).partition("full_key: ")
    return f"{family}.{key.strip()}" if key.strip() else family


def trainer_of(
    tree: Tree, tracker: Tracker | None, callbacks: list[Any], ranks: Ranks = ALONE, local_rank: int = 0
) -> Trainer:
    """Build the Trainer.

    Args:
        tree: The config.
        tracker: Where it logs; nowhere if None.
        callbacks: Those of the runner, after the user's own.
        ranks: The processes that train together.
        local_rank: Which of those on this node this one is.

    Raises:
        ConfigError: A setting is refused.
    """
    settings = instantiate({**tree["trainer"], "_partial_": True}, _convert_="all")
    given = settings.keywords
    mine = given.pop("callbacks", None) or []
    fixed: dict[str, Any] = {**RUNNERS, **({"logger": tracker} if tracker else {}), "callbacks": [*mine, *callbacks]}
    if ranks.size > 1 or wanted(tree["trainer"]) > 1 or given.get("strategy") == "ddp":
        # Each process has one device: its own, or the only one that its scheduler lets it see.
        given |= {"devices": _device(given, local_rank), "num_nodes": 1, "strategy": "auto"}
    if ranks.size > 1:
        given |= {"strategy": Lockstep(), "plugins": [*(given.get("plugins") or []), Environment(ranks)]}
    elif given.get("devices") in (1, [local_rank]) and given.get("num_nodes", 1) == 1 and "plugins" not in given:
        # One device needs no cluster: without this Lightning takes over the scheduler's signals.
        given["plugins"] = [LightningEnvironment()]
    try:
        return settings(**fixed)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {str(error).splitlines()[0]}") from error


def _device(given: dict[str, Any], local_rank: int) -> Any:
    seen = 0 if given.get("accelerator") == "cpu" else torch.cuda.device_count()
    devices = given.get("devices")
    chosen = devices[local_rank] if isinstance(devices, (list, tuple)) else local_rank
    return 1 if seen <= 1 else [chosen]


def check_shares(module: LightningModule, size: int) -> None:
    """Refuse several ranks for a module that would do the same work in each.

    Raises:
        ConfigError: It does not train, does not share its batches, or cannot share these.
    """
    if size == 1:
        return
    name = type(module).__name__
    if not is_overridden("training_step", module):
        raise ConfigError(f"{name} trains nothing that {size} processes could share; set trainer.devices=1")
    if not isinstance(module, Shares):
        raise ConfigError(f"{name} does not share its batches among processes; set trainer.devices=1")
    module.check_shares(size)
