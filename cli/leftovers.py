"""Values that an experiment has set for what it fills a slot with, and that stay when the user fills it otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .origin import flat_keys, origins, refilled

if TYPE_CHECKING:
    from sciml.run import Request


def leftovers(request: Request, cfg: Any, overrides: Sequence[str]) -> list[str]:
    """One line for each slot that was filled anew and still has values of the experiment's. Needs a Hydra session.

    Composing keeps them, as the experiment's file comes last: the learning rate of its Adam is that of another
    optimiser too, where nobody says otherwise.

    Args:
        request: The run.
        cfg: The composed config.
        overrides: What it was composed from.

    Raises:
        UsageError: The config is refused.
    """
    from omegaconf import OmegaConf

    from sciml.config import check

    slots, found = refilled(overrides), []
    places = origins(overrides) if slots else {}
    for package, (before, now, content) in slots.items():
        kept = [
            key
            for key in flat_keys(content, f"{package}.")
            if "experiment/" in places.get(key, "")
            and not isinstance(own := _at(content, key, package), Mapping)
            and OmegaConf.select(cfg, key) != own
        ]
        if kept:
            stays = " ".join(f"{key}={_written(OmegaConf.select(cfg, key))}" for key in kept)
            own = " ".join(f"{key}={_written(_at(content, key, package))}" for key in kept)
            if not found:
                check(request.tree, request.raw, trust=request.trust)
            found.append(f"{stays} stays, which {places[kept[0]]} sets for {before}; {now} has {own}")
    return found


def _at(content: Any, key: str, package: str) -> Any:
    for part in key.removeprefix(f"{package}.").split("."):
        content = content[part]
    return content


def _written(value: Any) -> str:
    """A value as an override has it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"'[{','.join(map(_written, value))}]'"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
