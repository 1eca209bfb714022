"""A folder of configs that is not ours: what it must not do before our own check can look at it.

The run's own tree is checked by sciml.config. Hydra however builds its launcher, sweeper, callbacks
and log handlers from its own node, and that before it calls us.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.errors import ConfigError

from .complete import configs
from .origin import compose

_HYDRAS_OWN = ("hydra.", "hydra_plugins.")
_HANDLERS = ("logging.", "hydra.", "colorlog.", "rich.")


def check_foreign(config_dir: str, overrides: Sequence[str], trust: Sequence[str]) -> list[str]:
    """Look at a user's folder before Hydra builds anything from it.

    Returns:
        Warnings: files that are never read because a built-in config has the same name.

    Raises:
        ConfigError: The composed ``hydra`` node builds something that is not trusted, or the folder is missing.
    """
    if not Path(config_dir).is_dir():
        raise ConfigError(f"there is no config folder {config_dir}")
    cfg = compose([o for o in overrides if not _sweeps(o)], config_dir, hydra_node=True)
    node = cfg.get("hydra") if cfg else None
    if node is not None:
        from omegaconf import OmegaConf

        allowed = (*_HYDRAS_OWN, *(f"{package}." for package in trust))
        for key, value in _suspects(OmegaConf.to_container(node, resolve=False), "hydra", allowed):
            raise ConfigError(f"{key}: {value} is not trusted (trust a package of your own with --trust PACKAGE)")
    mine = {p.relative_to(config_dir).with_suffix("").as_posix() for p in Path(config_dir).rglob("*.yaml")}
    return [f"{config_dir}/{name}.yaml is not read: there is a built-in config {name}" for name in sorted(mine & set(configs()))]


def _sweeps(override: str) -> bool:
    return "," in override and "[" not in override


def _suspects(node: Any, key: str, allowed: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from _suspects(item, f"{key}.{i}", allowed)
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        where = f"{key}.{name}"
        if (name == "_target_" and not str(value).startswith(allowed)) or name == "()":
            yield where, str(value)
        elif name == "class" and "logging" in key and not str(value).startswith(_HANDLERS):
            yield where, str(value)
        else:
            yield from _suspects(value, where, allowed)
