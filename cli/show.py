"""``sciml show``: the composed config, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import screen
from .explain import explain
from .origin import hydra_session, mistakes, origins, place_of
from .request import plain


def print_config(overrides: Sequence[str], config_dir: str | None, resolve: bool) -> int:
    """Print it; returns the exit code."""
    from hydra import compose
    from omegaconf import OmegaConf
    from rich.text import Text

    try:
        with hydra_session(config_dir):
            cfg = compose("config", list(overrides))
            places = origins(overrides)
            tree = plain(cfg, place_of(overrides))[0] if resolve else OmegaConf.to_container(cfg)
    except mistakes() as error:
        screen.error(explain(error, overrides, config_dir))
        return 2
    lines = list(_lines(tree, places))
    width = min(max((len(line) for line, _ in lines), default=0), 72)
    console = screen.out()
    for line, place in lines:
        text = Text(line)
        if place:
            text.append(" " * max(2, width + 2 - len(line)) + f"# {place}", style="dim")
        console.print(text, soft_wrap=True)
    return 0


def _lines(node: Any, places: Mapping[str, str], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        key, indent = f"{prefix}{name}", "  " * depth
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:", ""
            yield from _lines(value, places, f"{key}.", depth + 1)
        else:
            yield f"{indent}{name}: {_scalar(value)}", places.get(key, _above(key, places))


def _above(key: str, places: Mapping[str, str]) -> str:
    while key := key.rpartition(".")[0]:
        if key in places:
            return places[key]
    return ""


def _scalar(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
