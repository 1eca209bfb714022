"""Look at every job before the first one starts, and before Hydra builds anything from a foreign config.

The run's own tree is checked in full by sciml.config when the job runs. Here the jobs of a sweep are
held against the same checks, so that a mistake in the last one does not wait for all others; and where
the user brings a folder of configs, Hydra's own node is looked at, because Hydra builds its launcher,
sweeper, callbacks and log handlers before it calls us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sciml.config import check, target
from sciml.errors import ConfigError, UsageError

from .configs import configs
from .expand import Composer, expand, varying
from .origin import hydra_session, place_of
from .request import plain

_HYDRAS_OWN = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")
_HANDLERS = ("logging.", "colorlog.", "rich.")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def foreign(overrides: Sequence[str], config_dir: str | None) -> bool:
    """Whether configs of others can take part."""
    return bool(config_dir) or any(o.lstrip("+").startswith("hydra.searchpath") for o in overrides)


def check_jobs(overrides: Sequence[str], config_dir: str | None, trust: Sequence[str], *, multirun: bool) -> int:
    """Compose the jobs that the overrides ask for.

    Returns:
        The number of jobs; 0 where a sweeper of the user's choice decides.

    Raises:
        ConfigError: A job's config has a mistake or is not trusted; the message names the job.
        HydraException: A job does not compose.
    """
    from hydra import compose

    strangers = foreign(overrides, config_dir)
    with hydra_session(config_dir):
        jobs = expand(overrides) if multirun else [list(overrides)]
        composer = Composer()
        for job in jobs:
            if strangers:
                cfg = compose("config", job, return_hydra_config=True)
                _check_hydra_node(cfg, trust)
            else:
                cfg, _ = composer(job)
            if multirun:
                _check_run(cfg, job, jobs, trust)
    own_sweeper = any(override.lstrip("+").startswith("hydra/sweeper=") for override in overrides)
    return 0 if own_sweeper else len(jobs)


def _check_run(cfg: Any, job: Sequence[str], jobs: Sequence[Sequence[str]], trust: Sequence[str]) -> None:
    origin = place_of(job)
    try:
        tree, raw = plain(cfg, origin)
        check(tree, raw, trust=trust, origin=origin)
    except UsageError as error:
        label = f"job {' '.join(varying(job, jobs))}: " if len(jobs) > 1 else ""
        raise ConfigError(f"{label}{error}") from error


def shadowed(config_dir: str) -> list[str]:
    """Files of the user's folder that are never read, because a built-in config has the same name."""
    mine = {p.relative_to(config_dir).with_suffix("").as_posix() for p in Path(config_dir).rglob("*.yaml")}
    return [
        f"{config_dir}/{name}.yaml is not read: there is a built-in config {name}"
        for name in sorted(mine & set(configs()))
    ]


def _check_hydra_node(cfg: Any, trust: Sequence[str]) -> None:
    lines = [
        f"{key}: {value} is not trusted (trust a package of your own with --trust PACKAGE)"
        for key, value in _suspects(cfg, "hydra", tuple(trust))
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _suspects(cfg: Any, key: str, trust: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What in a node of Hydra's would make it, or Python's logging, build something that is not trusted."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        node = OmegaConf.select(cfg, key)  # as Hydra will see it: interpolations followed
    except OmegaConfBaseException:
        return  # it cannot be built either
    name = key.rpartition(".")[2]
    if isinstance(node, DictConfig):
        for child in node:
            if child == "()":
                yield f"{key}.()", "a factory of log handlers"
            else:
                yield from _suspects(cfg, f"{key}.{child}", trust)
    elif isinstance(node, ListConfig):
        for i in range(len(node)):
            yield from _suspects(cfg, f"{key}[{i}]", trust)
    elif (name == "_target_" and not _defined_in(node, trust, _HYDRAS_OWN)) or (
        "logging" in key and name == "class" and not _defined_in(node, trust, _HANDLERS)
    ):
        yield key, str(node)
    elif "logging" in key and isinstance(node, str) and node.startswith("ext://") and node not in _STREAMS:
        yield key, node


def _defined_in(path: Any, trust: tuple[str, ...], builtin: tuple[str, ...]) -> bool:
    try:
        target(path, trust, builtin)
    except ConfigError:
        return False
    return True
