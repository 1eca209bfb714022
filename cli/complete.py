"""Shell completion and the lists behind it, from the config files alone: no Hydra, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

LISTINGS = ("experiments", "tables", "papers", "methods")
_NOT_GROUPS = ("table",)


def configs(config_dir: str | None = None) -> list[str]:
    """Every config as ``group/name``, ours and those of the user's folder, sorted."""
    found = set(_below(files("sciml.conf"), ""))
    if config_dir and Path(config_dir).is_dir():
        found |= set(_below(Path(config_dir), ""))
    return sorted(found)


def _below(folder: Traversable, prefix: str) -> Iterator[str]:
    for item in folder.iterdir():
        if item.is_dir() and not item.name.startswith(("_", ".")):
            yield from _below(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".yaml"):
            yield f"{prefix}{item.name.removesuffix('.yaml')}"


def complete_override(args: list[str], incomplete: str) -> Iterator[str]:
    """Groups, options, experiments and keys for the override that is being typed."""
    key, equals, value = incomplete.partition("=")
    sign = key[:1] if key[:1] in ("+", "~") else ""
    group = key.lstrip("+~")
    names = [name for name in configs() if not name.startswith(_NOT_GROUPS) and "/" in name]
    if equals:
        head, comma, last = value.rpartition(",")
        for name in names:
            option = name.removeprefix(f"{group}/")
            # An experiment's name has a folder; elsewhere a folder below a group is a group of its own.
            if option != name and option.startswith(last) and (group == "experiment" or "/" not in option):
                yield f"{key}={head}{comma}{option}"
        return
    for parent in sorted({_group(name) for name in names}):
        if parent.startswith(group):
            yield f"{'+' if parent == 'experiment' else sign}{parent}="
    for setting in _settings(args):
        if setting.startswith(group):
            yield f"{sign}{setting}="


def _group(name: str) -> str:
    return "experiment" if name.startswith("experiment/") else name.rpartition("/")[0]


def _settings(args: Iterable[str]) -> list[str]:
    """Keys of the config that the words so far choose. A reading of the defaults lists, good enough for hints."""
    chosen = dict(word.lstrip("+").split("=", 1) for word in args if "=" in word and not word.startswith("-"))
    wanted = {"trainer": "default"} | {g: o for g, o in chosen.items() if "." not in g}
    keys: list[str] = []
    for name in ("config", *([f"experiment/{wanted['experiment']}"] if "experiment" in wanted else [])):
        tree = _read(name)
        for entry in tree.pop("defaults", []):
            if isinstance(entry, dict):
                for group, option in entry.items():
                    wanted.setdefault(group.removeprefix("override ").lstrip("/"), option)
        keys += _flat(tree)
    for group, option in list(wanted.items()):
        if group != "experiment" and option:
            tree = _read(f"{group}/{option}")
            for entry in tree.pop("defaults", []):
                if isinstance(entry, dict):
                    wanted.update({f"{group}/{g}": wanted.get(f"{group}/{g}", o) for g, o in entry.items()})
            keys += _flat(tree, f"{group.replace('/', '.')}.")
    for group, option in wanted.items():
        if group.count("/") == 1 and option and option != "???":
            keys += _flat(_read(f"{group}/{option}"), f"{group.replace('/', '.')}.")
    return sorted({key for key in keys if not key.startswith("hydra") and "._" not in f".{key}"})


def _read(name: str) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(files("sciml.conf").joinpath(f"{name}.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return tree if isinstance(tree, dict) else {}


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


def complete_run(incomplete: str) -> list[str]:
    """Run folders below ``outputs``."""
    return [path for p in sorted(Path("outputs").rglob("config.yaml")) if (path := str(p.parent)).startswith(incomplete)]


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
