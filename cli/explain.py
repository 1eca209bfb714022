"""Hydra's and OmegaConf's exceptions in one line for the user, with what was probably meant."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from sciml.config import did_you_mean
from sciml.errors import UsageError

from .origin import compose, flat_keys


def explain(error: Exception, overrides: Sequence[str], config_dir: str | None = None) -> str:
    """A message for an exception that composing a config raised."""
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException

    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _missing(error, config_dir)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the override {error.override}\n"
            "form: key=value, +key=value, ~key; quote values with brackets, commas or blanks: 'key=[1,2]'"
        )
    text = str(error)
    if "Ambiguous value for argument" in text:
        return text.split("\n")[0].replace("Ambiguous value for argument", "several values for") + "; add -m to run them all"
    if found := re.search(r"You must specify '([^']+)'", text):
        group = found.group(1)
        return f"{group} is not chosen: add {group}=<option>, one of {', '.join(options(group, config_dir))}"
    if found := re.search(r"Could not override '([^']+)'", text):
        return _no_such_key(found.group(1), text, overrides, config_dir)
    if found := re.search(r"Multiple values for ([\w/@.]+)", text):
        return f"{found.group(1)} is given twice"
    cause = error.__cause__
    if cause is not None and isinstance(error, ConfigCompositionException):
        key = getattr(cause, "full_key", None)
        return f"{f'bad value for {key}: ' if key else ''}{str(cause).splitlines()[0]}"
    return " ".join(line.strip() for line in text.splitlines()[:2] if line.strip())


def _missing(error: Exception, config_dir: str | None) -> str:
    name = getattr(error, "missing_cfg_file", None)
    if name is None:
        return str(error).splitlines()[0]
    name = str(name if isinstance(name, str) else name[0]).removesuffix(".yaml")
    group, _, option = name.partition("/") if name.startswith("experiment/") else name.rpartition("/")
    place = re.match(r"In '([^']+)'", str(error))
    where = f" (from {place.group(1)}.yaml)" if place and place.group(1) != "config" else ""
    if not group:
        return f"there is no config {option}{where}"
    known = options(group, config_dir)
    if not known:
        groups = sorted({parent for found in _all_configs(config_dir) for parent in _parents(found)})
        return f"there is no config group {group}{did_you_mean(group, groups)}{where}"
    hint = did_you_mean(option, known)
    if not hint and (head := option.split("/")[0]) and (same := [k for k in known if k.startswith(f"{head}/")]):
        hint = f"; {head} has {', '.join(same)}"
    listed = "" if len(known) > 12 else f"\navailable: {', '.join(known)}"
    return f"there is no {group} {option}{hint}{where}{listed}"


def options(group: str, config_dir: str | None = None) -> list[str]:
    """Names of the configs below a group."""
    return [name.removeprefix(f"{group}/") for name in _all_configs(config_dir) if name.startswith(f"{group}/")]


def _all_configs(config_dir: str | None = None) -> list[str]:
    from .complete import configs

    return configs(config_dir)


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _no_such_key(key: str, text: str, overrides: Sequence[str], config_dir: str | None) -> str:
    if place := re.match(r"In '([^']+)'", text):
        return f"there is nothing to override at {key} (from {place.group(1)}.yaml)"
    if key == "experiment":
        value = next((o.partition("=")[2] for o in overrides if o.startswith("experiment=")), "<name>")
        return f"an experiment is added, not overridden: +experiment={value}"
    others = [o for o in overrides if not o.lstrip("+~").startswith(f"{key}=") and "," not in o]
    cfg = compose(others, config_dir) if others else {}
    parameters = _parameters(cfg, key.rpartition(".")[0])
    leaf = key.rpartition(".")[2]
    if leaf in parameters:
        return f"{key} is not set by any config, so it is added, not overridden: +{key}=<value>"
    if "/" in key and options(key, config_dir):
        return f"this experiment has no slot {key}; a slot of a family it does not use cannot be filled"
    near = [f"{key.rpartition('.')[0]}.{name}" for name in parameters]
    groups = [f"{'+' if group == 'experiment' else ''}{group}" for found in _all_configs(config_dir) for group in _parents(found)]
    return f"there is no setting {key}{did_you_mean(key, [*dict.fromkeys([*near, *flat_keys(cfg), *groups])])}"


def _parameters(cfg: Any, node: str) -> list[str]:
    """Parameters of the class that a node of a config is built from."""
    import inspect

    from omegaconf import OmegaConf

    from sciml.config import target

    path = OmegaConf.select(cfg, f"{node}._target_", default=None) if node and cfg else None
    if path is None:
        return []
    try:
        constructor = target(path, tuple(filter(None, os.environ.get("SCIML_TRUST", "").split(","))))
    except UsageError:
        return []
    return [name for name in inspect.signature(constructor).parameters if name != "self"]
