"""Launchers by their names: ``conf/launcher/<name>.yaml``, of ours or of the user's folder, and overrides of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sciml.config import check_node, did_you_mean, target
from sciml.errors import ConfigError, UsageError

from .configs import options, place

if TYPE_CHECKING:
    from sciml.launcher.base import Launcher

GROUP = "launcher"


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the runs, and those of the launcher: ``launcher.<key>=<value>``."""
    theirs = [o for o in overrides if o.lstrip("+~").startswith(f"{GROUP}.")]
    return [o for o in overrides if o not in theirs], theirs


def find_launcher(
    name: str,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    trust: Sequence[str] = (),
    before: Mapping[str, Any] | None = None,
) -> tuple[Launcher, dict[str, Any]]:
    """Build a launcher.

    Args:
        name: Of its file.
        overrides: ``launcher.<key>=<value>``, a ``+`` in front makes no difference.
        config_dir: The user's folder of configs.
        trust: Packages that the user trusts.
        before: Settings that it had before; they take the place of its file.

    Returns:
        The launcher and its settings.

    Raises:
        UsageError: There is none of this name, or a setting is wrong.
    """
    known = options(GROUP, config_dir)
    if before is None and name not in known:
        raise UsageError(
            f"there is no launcher {name}{did_you_mean(name, known)}\navailable: {', '.join(known)};"
            f" your own: {GROUP}/<name>.yaml in a folder that --config-dir names"
        )
    settings = _settings(name, overrides, config_dir, before)
    try:
        return build(settings, trust), settings
    except ConfigError as error:
        typed = [override.lstrip("+").partition("=")[0] for override in overrides]
        typed_here = any(key in str(error) for key in typed)
        where = "" if typed_here else f" (from {place(f'{GROUP}/{name}', config_dir)})"
        raise ConfigError(f"{error}{where}") from error


def build(settings: dict[str, Any], trust: Sequence[str] = ()) -> Launcher:
    """Build a launcher from its settings.

    Raises:
        ConfigError: A setting is wrong.
    """
    from sciml.launcher.base import Launcher

    made = target(settings["_target_"], trust) if "_target_" in settings else Launcher
    if not (isinstance(made, type) and issubclass(made, Launcher)):
        raise ConfigError(f"{GROUP}._target_ {settings['_target_']} is not a launcher")
    check_node(settings, GROUP, trust=trust)
    return made(**{key: value for key, value in settings.items() if key != "_target_"})


def _settings(
    name: str, overrides: Sequence[str], config_dir: str | None, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf, open_dict

    from .explain import explain
    from .origin import hydra_session, mistakes

    try:
        with hydra_session(config_dir), warnings.catch_warnings():
            # What a site's file says beside its defaults list counts, as everywhere, more than what the list brings.
            warnings.filterwarnings("ignore", message=".*Defaults list is missing `_self_`")
            cfg = compose(f"{GROUP}/{name}") if before is None else OmegaConf.create({GROUP: dict(before)})
        if GROUP not in cfg:
            raise UsageError(f"{place(f'{GROUP}/{name}', config_dir)} holds no settings of a launcher")
        with open_dict(cfg):
            for override in OverridesParser.create().parse_overrides(list(overrides)):
                if override.is_sweep_override():
                    raise UsageError(f"{override.input_line}: a launcher has one value of each setting")
                if override.is_delete():
                    raise UsageError(f"{override.input_line}: a setting of a launcher cannot be taken out")
                OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True, force_add=True)
        settings: dict[str, Any] = OmegaConf.to_container(cfg[GROUP], resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except mistakes() as error:
        raise UsageError(explain(error, overrides, config_dir)) from error
    return _as_typed(settings, overrides)


def _as_typed(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """On the command line text needs no quotes: ``launcher.time=60``, ``launcher.account=1234``."""
    from sciml.hints import fits, hints_of

    try:
        hints = hints_of(target(settings.get("_target_", ""), settings.get("_target_", "").split(".")[:1]))
    except ConfigError:
        return settings
    for override in overrides:
        key, _, text = override.lstrip("+").partition("=")
        leaf = key.removeprefix(f"{GROUP}.")
        value = settings.get(leaf)
        if leaf in hints and isinstance(value, int | float) and not isinstance(value, bool):
            settings[leaf] = text if not fits(value, hints[leaf]) and fits(text, hints[leaf]) else value
    return settings
