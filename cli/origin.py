"""Which file, or which override, gave each value of a composed config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sciml.config import Origin
from sciml.errors import UsageError

COMMAND_LINE = "command line"


@contextmanager
def hydra_session(config_dir: str | None = None) -> Iterator[None]:
    """Hydra's Compose API on our configs and, after them, the user's; the session before it comes back."""
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"there is no config folder {config_dir}")
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    search = create_config_search_path("pkg://sciml.conf")
    if config_dir:
        search.prepend("user", f"file://{Path(config_dir).resolve()}", "schema")  # after ours
    try:
        Hydra.create_main_hydra2("sciml", search)
        yield
    finally:
        GlobalHydra.instance().clear()
        if before is not None:
            GlobalHydra.instance().hydra = before


def mistakes() -> tuple[type[Exception], ...]:
    """What composing raises where the user made a mistake; :func:`sciml.cli.explain.explain` puts it in words."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    # Hydra has no class of its own for a group that is set to something else than a name, nor for a file
    # that cannot be read or is no text.
    return HydraException, OmegaConfBaseException, UsageError, YAMLError, OSError, ValueError


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Any:
    """The composed DictConfig; empty if these overrides do not compose. For hints only."""
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    try:
        with hydra_session(config_dir):
            return hydra_compose("config", list(overrides))
    except mistakes():
        return OmegaConf.create()


def flat_keys(cfg: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a config, inner nodes included."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(cfg, resolve=False) if OmegaConf.is_config(cfg) else cfg
    keys: list[str] = []
    if isinstance(plain, Mapping):
        for name, value in plain.items():
            key = f"{prefix}{name}"
            keys += [key, *flat_keys(value, f"{key}.")]
    return keys


def origins(overrides: Sequence[str]) -> dict[str, str]:
    """For every key the file or override that set it last. Needs a Hydra session.

    Args:
        overrides: As composed.

    Returns:
        Dotted key -> ``group/name.yaml`` or ``command line``.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = _loader()
    found: dict[str, str] = {}
    nodes: dict[str, str] = {}  # what a group is filled from, whoever changes a value in it
    for default in _files(loader, tuple(overrides)):
        result = loader.repository.load_config(default.config_path)
        if result is None:
            continue
        package = f"{default.package}." if default.package else ""
        where = f"{default.config_path}.yaml"
        if result.provider not in ("main", "schema"):  # not ours: say which folder
            where = f"{result.path.removeprefix('file://')}/{where}"
        if default.package:
            nodes[default.package] = where
        for key in flat_keys(result.config, package):
            found[key] = where
    found |= nodes
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if not loader.repository.group_exists(override.key_or_group):
            for key in (override.key_or_group, *flat_keys(override.value(), f"{override.key_or_group}.")):
                found[key] = COMMAND_LINE
    return found


def refilled(overrides: Sequence[str]) -> dict[str, tuple[str, str, Any]]:
    """The slots that overrides fill with another file than the experiment does. Needs a Hydra session.

    Args:
        overrides: As composed.

    Returns:
        By node, such as ``optimizer``: the experiment's file, the chosen one, and what is in it.
    """
    loader = _loader()
    names = {o: o.partition("=")[0] for o in overrides if not o.startswith(("+", "~"))}
    slots = [o for o, name in names.items() if name and loader.repository.group_exists(name.partition("@")[0])]
    if not slots:
        return {}
    before, now = (
        {default.package: default.config_path for default in _files(loader, tuple(chosen)) if default.package}
        for chosen in ([o for o in overrides if o not in slots], overrides)
    )
    return {
        node: (f"{before[node]}.yaml", f"{file}.yaml", _content(loader, file))
        for node, file in now.items()
        if node in before and before[node] != file
    }


def _content(loader: Any, file: str) -> Any:
    from omegaconf import OmegaConf

    result = loader.repository.load_config(file)
    return OmegaConf.to_container(result.config, resolve=False) if result is not None else {}


def _loader() -> Any:
    """What finds and reads files in the Hydra session."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.global_hydra import GlobalHydra

    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    return loader


@lru_cache(maxsize=2)  # choosing the files is what takes long, and a session asks for the same again
def _files(loader: Any, overrides: tuple[str, ...]) -> list[Any]:
    """The files that a config is composed from, in their order, but for Hydra's own."""
    from hydra.types import RunMode

    defaults = loader.compute_defaults_list("config", list(overrides), RunMode.RUN).defaults
    return [d for d in defaults if d.config_path is not None and not d.config_path.startswith("hydra/")]


def place_of(overrides: Sequence[str]) -> Origin:
    """Says where a key, or the nearest node above it, comes from; None if nothing is known. Needs a Hydra session."""
    known: dict[str, str] | None = None

    def place(key: str) -> str | None:
        nonlocal known
        if known is None:  # only a message needs it
            try:
                known = origins(overrides)
            except mistakes():
                known = {}
        while key and key not in known:
            key = key.rpartition(".")[0]
        place = known.get(key)
        if place and "experiment/" in place:
            nodes = refilled(overrides)
            while key and key not in nodes:
                key = key.rpartition(".")[0]
            if key:
                return f"{place}, for {nodes[key][0]}"
        return place

    return place
