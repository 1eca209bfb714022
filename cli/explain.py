"""Hydra's and OmegaConf's exceptions in one line for the user, with what was probably meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.config import did_you_mean
from sciml.errors import UsageError

from .configs import Entry, entries, groups, options, place, unreadable
from .origin import compose, flat_keys

HEADER = "'# @package _global_'"


def explain(error: Exception, overrides: Sequence[str], config_dir: str | None = None) -> str:
    """A message for an exception that composing a config raised."""
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
    from yaml import MarkedYAMLError

    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return unreadable(error, error.problem_mark.name)
    if isinstance(error, MissingConfigException):  # an OSError too
        return _missing(error, overrides, config_dir)
    if isinstance(error, OSError):
        return unreadable(error, str(error.filename))
    if isinstance(error, UnicodeDecodeError):
        return _not_text(config_dir)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the override {error.override}\n"
            "form: key=value, +key=value, ~key; quote values with brackets, commas or blanks: 'key=[1,2]'"
        )
    text = str(error)
    if "Ambiguous value for argument" in text:
        return (
            text.split("\n")[0].replace("Ambiguous value for argument", "several values for")
            + "; add -m to run them all"
        )
    if "Config group override must be a string" in text:
        return _no_name(overrides, config_dir)
    if found := re.search(r"You must specify '([^']+)'", text):
        return _not_chosen(found.group(1), overrides, config_dir)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _no_such_key(found.group(1), text, overrides, config_dir)
    if found := re.search(r"Could not delete from config\. '([^']+)' does not exist", text):
        key = found.group(1)
        others = [o for o in overrides if o.lstrip("~") != key]
        return f"there is no setting {key} to take out{did_you_mean(key, _keys(compose(others, config_dir)))}"
    if found := re.search(r"An item is already at '([^']+)'", text):
        return f"{found.group(1)} is set already: change it without +, {found.group(1)}=<value>"
    if found := re.search(r"Multiple values for ([\w/@]+)|([\w/@]+) appears more than once", text):
        return _twice(found.group(1) or found.group(2), overrides, config_dir)
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and (cause is not None or "raised while composing" in text):
        first, *rest = text.splitlines()
        file = re.match(r"In '([^']+)'", first)
        key = getattr(cause, "full_key", None)
        reason = str(cause).splitlines()[0] if cause is not None else " ".join(rest[:1]) or first
        return f"{f'bad value for {key}: ' if key else ''}{reason}{_from(file.group(1), config_dir) if file else ''}"
    return " ".join(line.strip() for line in text.splitlines()[:2] if line.strip())


def _from(name: str, config_dir: str | None) -> str:
    return f" (from {place(name, config_dir)})"


def _not_text(config_dir: str | None) -> str:
    for file in sorted(Path(config_dir or os.devnull).rglob("*.yaml")):
        try:
            file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return unreadable(error, str(file.resolve()))
    return "a config file is not UTF-8 text"


def _entries(overrides: Sequence[str], config_dir: str | None) -> Iterator[Entry]:
    """The defaults lists of the files that the overrides choose."""
    known = groups(config_dir)
    for override in overrides:
        group, _, chosen = override.lstrip("+").partition("=")
        for option in chosen.split(",") if group in known else ():
            try:
                yield from entries(f"{group}/{option}", config_dir)
            except UsageError:
                continue


def _missing(error: Exception, overrides: Sequence[str], config_dir: str | None) -> str:
    name = getattr(error, "missing_cfg_file", None)
    if name is None:
        return str(error).splitlines()[0]
    name = str(name if isinstance(name, str) else name[0]).removesuffix(".yaml")
    group, _, option = name.partition("/") if name.startswith("experiment/") else name.rpartition("/")
    where = ""
    typed = [(o.lstrip("+").split("=", 1)[0], v) for o in overrides for v in o.partition("=")[2].split(",")]
    if not any(f"{g}/{v}".removesuffix(".yaml") == name for g, v in typed):
        # Hydra names the file with the slot; the mistake is in the file that fills it.
        by = [e.file for e in _entries(overrides, config_dir) if (e.group, e.option) == (group, option)]
        found = re.match(r"In '([^']+)'", str(error))
        by += [found[1]] if found and not by else []
        where = _from(by[-1], config_dir) if by else ""
    known = options(group, config_dir) or list(getattr(error, "options", None) or [])
    if not known:
        return f"there is no config group {group}{did_you_mean(group, groups(config_dir))}{where}"
    hint = did_you_mean(option, known)
    if not hint and (head := option.split("/")[0]) and (same := [k for k in known if k.startswith(f"{head}/")]):
        hint = f"; {head} has {', '.join(same)}"
    more = "\nsee: sciml list experiments" if group == "experiment" else ""
    listed = more if len(known) > 12 else f"\navailable: {', '.join(known)}"
    return f"there is no {group} {option}{hint}{where}{listed}"


def _no_name(overrides: Sequence[str], config_dir: str | None) -> str:
    import yaml

    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        if group in groups(config_dir) and not isinstance(yaml.safe_load(value), str):
            return f"{group} cannot be {value}: it is one of {', '.join(options(group, config_dir))}"
    return "a config group can only be set to the name of one of its files"


def _not_chosen(group: str, overrides: Sequence[str], config_dir: str | None) -> str:
    known = groups(config_dir)
    for entry in _entries(overrides, config_dir):
        if entry.override and entry.group not in known:  # probably what should have chosen it
            hint = did_you_mean(entry.group, known)
            return f"there is no config group {entry.group}{hint}{_from(entry.file, config_dir)}"
    return f"{group} is not chosen: add {group}=<option>, one of {', '.join(options(group, config_dir))}"


def _twice(group: str, overrides: Sequence[str], config_dir: str | None) -> str:
    if any(o.startswith(f"+{group}=") for o in overrides):
        return f"{group} is chosen already: change it without +, {group}=<option>"
    again = [e.file for e in _entries(overrides, config_dir) if e.group == group and not e.override]
    where = _from(again[-1], config_dir) if again else ""
    return f"{group} is chosen twice; to change it, write 'override /{group}: <option>'{where}"


def _no_such_key(key: str, text: str, overrides: Sequence[str], config_dir: str | None) -> str:
    if found := re.match(r"In '([^']+)'", text):
        file, known = found.group(1), groups(config_dir)
        if "@experiment" in key:
            return f"{place(file, config_dir)} must begin with the line {HEADER}"
        if key not in known:
            return f"there is no config group {key}{did_you_mean(key, known)}{_from(file, config_dir)}"
        return f"there is no {key} to override in this config{_from(file, config_dir)}"
    if key == "experiment":
        value = next((o.partition("=")[2] for o in overrides if o.startswith("experiment=")), "<name>")
        return f"an experiment is added, not overridden: +experiment={value}"
    others = [o for o in overrides if not o.lstrip("+~").startswith(f"{key}=") and "," not in o]
    cfg = compose(others, config_dir) if others else {}
    if (items := _list_above(cfg, key)) is not None:
        return f"an item of {items} has no such key to override; a list is set as a whole: '{items}=[...]'"
    parameters = _parameters(cfg, key.rpartition(".")[0])
    leaf = key.rpartition(".")[2]
    if leaf in parameters:
        return f"{key} is not set by any config, so it is added, not overridden: +{key}=<value>"
    known = [f"+{group}" if group == "experiment" else group for group in groups(config_dir)]
    if "/" in key:
        if options(key, config_dir):
            return f"this experiment has no slot {key}; a slot of a family it does not use cannot be filled"
        return f"there is no config group {key}{did_you_mean(key, known)}"
    near = [f"{key.rpartition('.')[0]}.{name}" for name in parameters]
    return f"there is no setting {key}{did_you_mean(key, dict.fromkeys([*near, *_keys(cfg), *known]))}"


def _list_above(cfg: Any, key: str) -> str | None:
    """The node above a key that is a list, if there is one."""
    node, path = cfg, []
    for part in key.split(".")[:-1]:
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
        path.append(part)
        if isinstance(node, Sequence) and not isinstance(node, str):
            return ".".join(path)
    return None


def _keys(cfg: Any) -> list[str]:
    return [key for key in flat_keys(cfg) if not key.rpartition(".")[2].startswith("_")]


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
