"""From Hydra's composed config to the runner's request."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sciml.config import FAMILIES, SHARED
from sciml.errors import ConfigError
from sciml.imports import load

if TYPE_CHECKING:
    from sciml.config import Origin
    from sciml.run import Request


def request_of(
    cfg: Any,
    choices: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    trust: tuple[str, ...] = (),
    force: bool = False,
    origin: Origin | None = None,
) -> Request:
    """Resolve a composed config.

    Args:
        cfg: The DictConfig, without or with its ``hydra`` node.
        choices: Hydra's record of which option each group was filled from.
        overrides: The overrides of this job.
        trust: Packages whose classes a config may build.
        force: Repeat a finished run.
        origin: Says which file or override gave a key, for messages.

    Raises:
        ConfigError: A value is missing or refers to nothing.
    """
    load()
    from sciml.run import Request

    tree, raw = plain(cfg, origin)
    mine = chosen(choices)
    return Request(
        tree=tree,
        raw=raw,
        experiment=experiment_of(mine, tree),
        choices=mine,
        command=shlex.join(["sciml", "train", *overrides]),
        trust=trust,
        force=force,
        origin=origin,
    )


def chosen(choices: Mapping[str, Any]) -> dict[str, str]:
    """Which option each group was filled from, without Hydra's own groups."""
    return {group: str(option) for group, option in choices.items() if option and not group.startswith("hydra")}


def experiment_of(choices: Mapping[str, str], tree: Mapping[str, Any]) -> str:
    """Name of the experiment; where none was chosen, of the family."""
    return choices.get("experiment") or next((name for name in FAMILIES if name in tree), "none")


def quoted(text: str) -> str:
    """A value for an override that Hydra reads as this text."""
    return text if re.fullmatch(r"[\w./-]+", text) else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def plain(cfg: Any, origin: Origin | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config as plain dicts, resolved and unresolved, without the ``hydra`` node.

    Args:
        cfg: The DictConfig.
        origin: Says which file or override gave a key, for messages.

    Raises:
        ConfigError: A value is missing or refers to nothing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    kept = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]) if "hydra" in cfg else cfg
    raw = OmegaConf.to_container(kept, resolve=False)
    try:
        tree = OmegaConf.to_container(kept, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = str(error.full_key or "a value")
        place = origin(key) if origin else None
        raise ConfigError(_unresolved(error, key) + (f" (from {place})" if place else "")) from error
    return tree, raw  # type: ignore[return-value]


def _unresolved(error: Exception, key: str) -> str:
    from omegaconf.errors import MissingMandatoryValue

    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value: add {key}=<value>"
    first = str(error).splitlines()[0]
    if first.startswith("Interpolation key '"):
        missing = first.split("'")[1]
        how = f": choose one with {missing}=<option>" if missing in SHARED else ""
        return f"{key} refers to {missing}, which is not there{how}"
    if found := re.search(r"Missing mandatory value: (\S+)", first):
        return f"{found[1]} has no value: add {found[1]}=<value>; {key} refers to it"
    reason = first.partition("raised while resolving interpolation: ")[2].strip('"')
    return f"{key}: {reason or first}"
