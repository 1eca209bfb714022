"""Every number that a config can set is held against a range before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from sciml.cli.complete import configs
from sciml.config import target
from sciml.hints import fits, hints_of
from sciml.ranges import Range

# Numbers without a lowest one are real: signs of coefficients, positions, exponents of ten.


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if str(tree.get("_target_")).startswith("sciml."):
            yield tree
        for item in tree.values():
            yield from _nodes(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)


def _parameters() -> Iterator[tuple[str, Any]]:
    """Every parameter of every class that a file of ``conf/`` names, and its annotation."""
    seen = set()
    for name in configs():
        text = files("sciml.conf").joinpath(f"{name}.yaml").read_text()
        if "_target_: sciml" not in text:
            continue
        for node in _nodes(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
            if node["_target_"] not in seen:
                seen.add(node["_target_"])
                constructor = target(node["_target_"])
                hints = hints_of(constructor)
                yield from (
                    (f"{node['_target_']}.{key}", hints.get(key)) for key in inspect.signature(constructor).parameters
                )


def test_every_whole_number_has_a_lowest_one() -> None:
    found = {name: hint for name, hint in _parameters() if hint is not None}
    assert len(found) > 500
    takes_whole = {
        name: hint for name, hint in found.items() if fits(1, hint) and not fits(1.5, hint) and not fits("", hint)
    }
    assert len(takes_whole) > 200
    assert [name for name, hint in takes_whole.items() if fits(-1, hint)] == []


def test_a_range_says_what_it_holds() -> None:
    assert [number in Range(0, 2, above=True) for number in (0, 1e-9, 2, 2.1)] == [False, True, True, False]
    assert [number in Range(0, 2, below=True) for number in (-1, 0, 1.9, 2)] == [False, True, True, False]
    assert float("nan") not in Range(0, 2)
    assert str(Range(0, 2, above=True, below=True)) == "above 0 and below 2"
    assert str(Range(1)) == "of at least 1"
    assert str(Range(high=3)) == "at most 3"
