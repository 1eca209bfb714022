"""Shell completion and the lists behind it, from the config files alone: no Hydra, no torch."""

from __future__ import annotations

import ast
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
    settings, others = _settings(overrides, config_dir)
    for setting in others if sign == "+" else settings:
        if setting.startswith(group):
            yield f"{sign}{setting}="


def _settings(overrides: Sequence[str], config_dir: str | None) -> tuple[list[str], list[str]]:
    """Keys of the config that the words so far choose, and keys that its classes take beside them.

    A reading of the defaults lists and of the classes' source, good enough for hints.
    """
    from sciml.config import RUNNERS

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
    shown = sorted({key for key, _ in keys if not key.startswith("hydra") and "._" not in f".{key}"})
    built = {key.removesuffix("_target_"): str(path) for key, path in keys if key.endswith("._target_")}
    taken = {f"{node}{name}" for node, path in built.items() for name in _parameters(path)}
    others = taken - {*shown, *(f"trainer.{name}" for name in RUNNERS)}
    # A slot that a config fills has keys below it.
    return shown, sorted(other for other in others if not any(key.startswith(f"{other}.") for key, _ in keys))


def _parameters(path: str) -> list[str]:
    """What a constructor takes; from its source, because importing it would import torch."""
    from importlib.util import find_spec

    package, *module, name = path.split(".")
    spec = find_spec(package) if package in ("sciml", "torch", "lightning") else None
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, *module)
        # A class is defined where it says, or, under the name of its package, in a file of its own.
        for file in (
            folder.with_suffix(".py"),
            folder / f"{name.lower()}.py",
            folder / name.lower() / f"{name.lower()}.py",
        ):
            if file.is_file():
                body = ast.parse(file.read_text(encoding="utf-8")).body
                body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == name), [])
                found = [node.args for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
                return [a.arg for given in found for a in (*_optional(given), *given.kwonlyargs)]
    return []


def _optional(arguments: ast.arguments) -> list[ast.arg]:
    """Positional ones that have a default; the others are given by the method, not by a config."""
    return arguments.args[len(arguments.args) - len(arguments.defaults) :] if arguments.defaults else []


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


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    keys: list[tuple[str, Any]] = []
    for name, value in tree.items():
        keys += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
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


def complete_shown(ctx: typer.Context, incomplete: str) -> list[str]:
    """What a report can show: tables and runs."""
    return complete_table(incomplete) + complete_run(ctx, incomplete)


def complete_grid(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """As :func:`complete_override`, and the settings of the chosen launcher."""
    yield from complete_override(ctx, incomplete)
    if incomplete.startswith("l") and "=" not in incomplete:
        config_dir = ctx.params.get("config_dir")
        for key in _read(f"launcher/{ctx.params.get('launcher') or 'local'}", config_dir):
            if f"launcher.{key}".startswith(incomplete) and key != "_target_":
                yield f"launcher.{key}="


def complete_launcher(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of launchers."""
    return [name for name in options("launcher", ctx.params.get("config_dir")) if name.startswith(incomplete)]


def complete_sweep(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of sweeps below ``--outputs``."""
    from sciml.sweep import names

    return [name for name in names(Path(ctx.params.get("outputs") or "outputs")) if name.startswith(incomplete)]


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
