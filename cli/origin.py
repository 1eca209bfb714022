"""Which file, or which override, gave each value of a composed config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sciml.errors import UsageError

COMMAND_LINE = "command line"


@contextmanager
def hydra_session(config_dir: str | None = None) -> Iterator[None]:
    """Hydra's Compose API on our configs and the user's; whatever session was there before comes back."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"there is no config folder {config_dir}")
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("sciml.conf", version_base="1.3", job_name="sciml"):
            yield
    finally:
        GlobalHydra.instance().clear()
        if before is not None:
            GlobalHydra.instance().hydra = before


def with_config_dir(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Overrides that also search the user's folder."""
    if not config_dir:
        return list(overrides)
    return [*overrides, f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]


def compose(overrides: Sequence[str], config_dir: str | None = None, *, hydra_node: bool = False) -> Any:
    """The composed DictConfig; empty if these overrides do not compose (used for hints only)."""
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with hydra_session(config_dir):
            return hydra_compose("config", with_config_dir(overrides, config_dir), return_hydra_config=hydra_node)
    except (HydraException, OmegaConfBaseException):
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
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode

    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    found: dict[str, str] = {}
    for default in loader.compute_defaults_list("config", list(overrides), RunMode.RUN).defaults:
        if default.config_path is None or default.config_path.startswith("hydra/"):
            continue
        result = loader.repository.load_config(default.config_path)
        if result is None:
            continue
        package = f"{default.package}." if default.package else ""
        where = f"{default.config_path}.yaml"
        if result.provider not in ("main", "schema"):
            where = f"{result.path.removeprefix('file://')}/{where}"
        for key in flat_keys(result.config, package):
            found[key] = where
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.key_or_group and "/" not in override.key_or_group:
            found[override.key_or_group] = COMMAND_LINE
    return found


def place_of(key: str, overrides: Sequence[str]) -> str | None:
    """Where one key, or the nearest node above it, comes from; None if nothing is known."""
    known = origins(overrides)
    while key:
        if key in known:
            return known[key]
        key = key.rpartition(".")[0]
    return None
