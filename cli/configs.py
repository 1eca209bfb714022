"""The config files as they stand: their names, groups and contents. No Hydra, so that completion is quick."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sciml.errors import UsageError

_NOT_GROUPS = ("table/", "launcher/")


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


def groups(config_dir: str | None = None) -> list[str]:
    """Every group that an override can choose from."""
    names = [name for name in configs(config_dir) if "/" in name and not name.startswith(_NOT_GROUPS)]
    return sorted({"experiment" if name.startswith("experiment/") else name.rpartition("/")[0] for name in names})


def options(group: str, config_dir: str | None = None) -> list[str]:
    """Names that a group can be set to."""
    found = [name.removeprefix(f"{group}/") for name in configs(config_dir) if name.startswith(f"{group}/")]
    # An experiment's name has a folder; elsewhere a folder below a group is a group of its own.
    return [name for name in found if group == "experiment" or "/" not in name]


def place(name: str, config_dir: str | None = None) -> str:
    """Where a config lies, for messages: below ``conf/``, or in the user's folder."""
    if config_dir and not files("sciml.conf").joinpath(f"{name}.yaml").is_file():
        return str(Path(config_dir).resolve() / f"{name}.yaml")
    return f"{name}.yaml"


def read(name: str, config_dir: str | None = None) -> dict[str, Any]:
    """One config file as it stands; empty if it is not there or holds no mapping.

    Raises:
        UsageError: It cannot be read; the message names file and line.
    """
    import yaml

    places = [files("sciml.conf").joinpath(f"{name}.yaml"), *([Path(config_dir, f"{name}.yaml")] if config_dir else [])]
    for file in places:
        if file.is_file():
            try:
                tree = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise UsageError(unreadable(error, place(name, config_dir))) from error
            return tree if isinstance(tree, dict) else {}
    return {}


def unreadable(error: Exception, file: str) -> str:
    """Why a config file cannot be read."""
    import yaml

    if isinstance(error, OSError):
        return f"{file} cannot be read: {error.strerror or error}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{file} cannot be read, line {error.problem_mark.line + 1}: {error.problem}"
    return f"{file} cannot be read: {' '.join(str(error).split())}"


@dataclass(frozen=True)
class Entry:
    """One line of a defaults list.

    Args:
        file: The config that it stands in, as ``group/name``.
        group: The group that it sets.
        option: What it sets it to.
        override: Whether it changes what another file has set.
    """

    file: str
    group: str
    option: str
    override: bool


def entries(name: str, config_dir: str | None = None) -> Iterator[Entry]:
    """The defaults list of a config and of those that it is built on, read as they stand."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        if (current := waiting.pop()) in seen:
            continue
        seen.add(current)
        here = current.rpartition("/")[0]
        for item in read(current, config_dir).get("defaults") or []:
            if isinstance(item, str) and item != "_self_":
                waiting.append(item.lstrip("/") if item.startswith("/") else f"{here}/{item}".lstrip("/"))
            for key, option in item.items() if isinstance(item, dict) else ():
                *words, path = str(key).split("@")[0].split()
                group = path.lstrip("/") if path.startswith("/") else f"{here}/{path}".lstrip("/")
                yield Entry(current, group, str(option), "override" in words)
                if "override" not in words:
                    waiting.append(f"{group}/{option}")
