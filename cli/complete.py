"""Shell completion and the lists behind it, from the config files alone: no Hydra, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

from sciml.errors import UsageError

from .configs import Entry, configs, entries, groups, options, read

LISTINGS = ("experiments", "tables", "papers", "methods")


def complete_override(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Groups, options, experiments and keys for the override that is being typed."""
    yield from offers(incomplete, ctx.params.get("overrides") or [], ctx.params.get("config_dir"))


def offers(incomplete: str, overrides: Sequence[str] = (), config_dir: str | None = None) -> Iterator[str]:
    """What an override that begins so can become.

    Args:
        incomplete: As far as it is typed.
        overrides: Those before it.
        config_dir: The user's own folder of configs.
    """
    key, equals, value = incomplete.partition("=")
    sign = key[:1] if key[:1] in ("+", "~") else ""
    group = key.lstrip("+~")
    if equals:
        head, comma, last = value.rpartition(",")
        for option in options(group, config_dir):
            if option.startswith(last):
                yield f"{key}={head}{comma}{option}"
        return
    for parent in groups(config_dir):
        if parent.startswith(group):
            yield f"{'+' if parent == 'experiment' else sign}{parent}="
    for setting in _settings(overrides, config_dir):
        if setting.startswith(group):
            yield f"{sign}{setting}="


def _settings(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Keys of the config that the words so far choose. A reading of the defaults lists, good enough for hints."""
    known = groups(config_dir)
    line = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    chosen = {group: option for group, option in line.items() if group in known}
    experiment = f"experiment/{chosen.pop('experiment', '')}"
    filled: dict[str, Entry] = {}
    for root in ("config", experiment, *(f"{group}/{option}" for group, option in chosen.items())):
        for entry in _entries(root, config_dir):
            before = filled.get(entry.group)
            if before is None or (entry.override and not before.override):
                filled[entry.group] = entry
    options_of = {group: entry.option for group, entry in filled.items()} | chosen
    keys = [*_flat(_read("config", config_dir)), *_flat(_read(experiment, config_dir))]
    for group, option in options_of.items():
        keys += _flat(_read(f"{group}/{option}", config_dir), f"{group.replace('/', '.')}.")
    return sorted({key for key in keys if not key.startswith("hydra") and "._" not in f".{key}"})


def _entries(name: str, config_dir: str | None) -> Iterator[Entry]:
    try:
        yield from entries(name, config_dir)
    except UsageError:  # a broken file offers nothing
        return


def _read(name: str, config_dir: str | None) -> dict[str, Any]:
    try:
        return {key: value for key, value in read(name, config_dir).items() if key != "defaults"}
    except UsageError:
        return {}


def _flat(tree: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in tree.items():
        keys += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def complete_table(incomplete: str) -> list[str]:
    """Names of tables."""
    names = [name.removeprefix("table/") for name in configs() if name.startswith("table/")]
    return [name for name in names if name.startswith(incomplete)]


def complete_listing(incomplete: str) -> list[str]:
    """What can be listed."""
    return [name for name in LISTINGS if name.startswith(incomplete)]


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Run folders below ``--outputs``."""
    outputs = Path(ctx.params.get("outputs") or "outputs")
    return [path for p in sorted(outputs.rglob("config.yaml")) if (path := str(p.parent)).startswith(incomplete)]


def script(shell: str) -> str:
    """The completion script of a shell.

    Raises:
        ValueError: There is none for this shell.
    """
    if shell == "bash":
        return files("sciml.cli").joinpath("completion.bash").read_text()
    if shell == "zsh":
        from typer._completion_shared import get_completion_script

        return get_completion_script(prog_name="sciml", complete_var="_SCIML_COMPLETE", shell="zsh") + "\n"
    raise ValueError(f"there is no completion for {shell}; choose bash or zsh")
