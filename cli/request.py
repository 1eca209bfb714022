"""From Hydra's composed config to the runner's request."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sciml.config import FAMILIES, family_of
from sciml.errors import ConfigError

if TYPE_CHECKING:
    from sciml.run import Request


def request_of(
    cfg: Any, choices: Mapping[str, Any], overrides: Sequence[str], *, trust: tuple[str, ...] = (), force: bool = False
) -> Request:
    """Resolve a composed config.

    Args:
        cfg: The DictConfig, without or with its ``hydra`` node.
        choices: Hydra's record of which option each group was filled from.
        overrides: The overrides of this job.
        trust: Packages whose classes a config may build.
        force: Repeat a finished run.

    Raises:
        ConfigError: A value is missing or refers to nothing.
    """
    from sciml.run import Request

    tree, raw = plain(cfg)
    mine = {group: str(option) for group, option in choices.items() if option and not group.startswith("hydra")}
    return Request(
        tree=tree,
        raw=raw,
        experiment=mine.get("experiment") or family_of(tree),
        choices=mine,
        command=shlex.join(["sciml", "train", *overrides]),
        trust=trust,
        force=force,
    )


def plain(cfg: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config as plain dicts, resolved and unresolved, without the ``hydra`` node.

    Raises:
        ConfigError: A value is missing or refers to nothing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

    kept = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
    raw = OmegaConf.to_container(kept, resolve=False)
    try:
        tree = OmegaConf.to_container(kept, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} has no value: add {error.full_key}=<value>") from error
    except InterpolationResolutionError as error:
        raise ConfigError(_dangling(error)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    return tree, raw  # type: ignore[return-value]


def _dangling(error: Exception) -> str:
    key = getattr(error, "full_key", "") or "a value"
    first = str(error).splitlines()[0]
    if "'" in first and first.startswith("Interpolation key"):
        missing = first.split("'")[1]
        how = f": choose one with {missing}=<option>" if missing not in FAMILIES and "." not in missing else ""
        return f"{key} refers to {missing}, which is not there{how}"
    return f"{key}: {first}"
