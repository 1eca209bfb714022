"""``sciml data list``, ``remove``, ``show`` and ``check``: what is kept, what is in a file, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciml.errors import RunError, UsageError

from . import screen
from .generate import size, words


def print_kept(outputs: str) -> int:
    """Print the cache of a folder of runs; returns the exit code."""
    from rich.markup import escape
    from rich.table import Table

    from sciml.data import cache
    from sciml.folder import placed
    from sciml.simulation.store import NAME, begun

    with placed(Path(outputs)):
        root = cache.folder()
    assert root is not None
    rows = [(e.name, e.settings, size(e.size), "", str(e.file)) for e in cache.kept(root)]
    rows += [(b.name, b.settings, size(b.size), f"{b.done} of {b.chunks} parts", str(b.folder)) for b in begun(root)]
    if not rows:
        screen.note(f"there is no data in {root}")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("data", "n", "seed", "size", "parameters", "file"):
        table.add_column(column, overflow="fold", justify="right" if column in ("n", "seed", "size") else "left")
    for name, settings, amount, state, file in rows:
        parameters = settings.get("parameters", {k: v for k, v in settings.items() if k not in ("n", "seed")})
        n, seed = (str(settings.get(key, "")) for key in ("n", "seed"))
        cells = (name.removeprefix(f"{NAME}/"), n, seed, amount, words(parameters), file + (state and f"  ({state})"))
        table.add_row(*map(escape, cells))
    screen.print_table(table)
    return 0


def places(outputs: Path) -> dict[Path, tuple[Path, int]]:
    """What can be removed: each file or folder as it is listed, with the cache entry's own folder and the bytes."""
    from sciml.data import cache
    from sciml.folder import placed
    from sciml.simulation.store import begun

    with placed(outputs):
        root = cache.folder()
    assert root is not None
    found = {e.file: (e.file.parent, e.size) for e in cache.kept(root)}
    return found | {b.folder: (cache.place_of_parts(b.folder), b.size) for b in begun(root)}


def remove_kept(files: Sequence[str], begun: bool, outputs: str) -> int:
    """Remove entries of the cache; returns the exit code. With an unknown one nothing is removed."""
    from sciml.data import cache

    known = places(Path(outputs))
    by_path = {path.resolve(): path for path in known}
    try:
        if not files and not begun:
            raise UsageError("say which FILE (sciml data list has them), or --begun")
        chosen = []
        for text in files:
            path = by_path.get(Path(text).resolve())
            if path is None:
                raise UsageError(f"{text} is none of the data kept in {outputs}; nothing is removed")
            chosen.append(path)
        chosen += [path for path in known if begun and path.suffix == cache.PARTS]
        code = 0
        for path in dict.fromkeys(chosen):
            place, amount = known[path]
            try:
                cache.remove(place)
            except RunError as error:
                code = max(code, screen.failed(error))
            else:
                print(f"removed {path}, {size(amount)}")
        if not chosen:
            screen.note("nothing was begun and not ended")
    except UsageError as error:
        return screen.failed(error)
    return code


def print_file(file: Path) -> int:
    """Print the attributes and datasets of a file; returns the exit code."""
    from sciml.simulation.layout import contents

    try:
        attributes, datasets = contents(file)
    except UsageError as error:
        return screen.failed(error)
    parameters: dict[str, Any] = json.loads(attributes.get("parameters", "{}"))
    out = screen.out()

    def block(title: str, lines: dict[str, Any]) -> None:
        width = max((len(name) for name in lines), default=0)
        if lines:
            out.print(f"[bold]{title}[/]")
        for name, value in lines.items():
            out.print(f"  {name:<{width}}  {value}", markup=False, soft_wrap=True)

    about = {k: v for k, v in attributes.items() if k not in parameters and k not in ("parameters", "versions")}
    block("datasets", datasets)
    block("parameters", parameters)
    block("made by" if "generator" in attributes else "attributes", about)
    block("versions", json.loads(attributes.get("versions", "{}")))
    return 0


def check_files(files: Sequence[Path]) -> int:
    """Say of each file whether it is whole; returns the exit code."""
    from sciml.simulation.layout import check

    code = 0
    for file in files:
        try:
            check(file)
        except (UsageError, RunError) as error:
            code = max(code, screen.failed(error))
        else:
            screen.out().print(f"{file}: whole", markup=False, soft_wrap=True)
    return code
