"""In what runs differ: the leaves of their configs, and the options of their config groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

ABSENT = "-"  # a key that a run's config does not have


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested config under its dotted key; a list counts as one value."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def config_differences(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys in which configs differ, each with one value for every config, in the order of the files.

    A value that a config takes from a shared node (``pinn.optimizer.lr`` from ``optimizer.lr``) is named once.
    """
    flat = [dict(leaves(tree)) for tree in trees]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    found = {}
    for key in keys:
        values = [one.get(key, ABSENT) for one in flat]
        if any(value != values[0] or type(value) is not type(values[0]) for value in values[1:]):
            found[key] = values
    return {key: values for key, values in found.items() if not _copy(key, values, found)}


def _copy(key: str, values: list[Any], found: Mapping[str, list[Any]]) -> bool:
    _, _, rest = key.partition(".")
    return bool(rest) and found.get(rest) == values


def differences(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """In what runs differ, one value for every run: config groups first, then the keys that no such group explains.

    Args:
        runs: Each with ``choices`` (option by group) and ``tree`` (its config).
    """
    groups = list(dict.fromkeys(group for run in runs for group in run["choices"]))
    chosen = {group: [run["choices"].get(group, ABSENT) for run in runs] for group in groups}
    moved = {group: options for group, options in chosen.items() if len(set(options)) > 1}
    values = config_differences([run["tree"] for run in runs])
    return moved | {key: found for key, found in values.items() if not _under(key, moved)}


def _under(key: str, groups: Iterable[str]) -> bool:
    """Whether a key belongs to the node of one of the groups, or to a copy of it inside a family."""
    nodes = tuple(f"{group.replace('/', '.')}." for group in groups)
    return key.startswith(nodes) or key.partition(".")[2].startswith(nodes)


def varying(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each run what tells it from the others of its experiment, as overrides; the seed is not among them.

    Args:
        runs: As for :func:`differences`, with ``experiment``.
    """
    found: list[list[str]] = [[] for _ in runs]
    for experiment in dict.fromkeys(run["experiment"] for run in runs):
        places = [i for i, run in enumerate(runs) if run["experiment"] == experiment]
        for key, values in differences([runs[i] for i in places]).items():
            for i, value in zip(places, values, strict=True):
                if key != "seed" and value != ABSENT:
                    found[i].append(f"{key}={value}")
    return found
