"""Simulations in the data cache: made once for all who ask for the same parameters, number and seed.

Nothing here imports torch before something has to be made, so that asking for what is there takes no time.
"""

from __future__ import annotations

import ast
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.data import cache
from sciml.files import write_atomically
from sciml.hints import hints_of, kind_of
from sciml.simulation import layout

if TYPE_CHECKING:
    import numpy as np

    from sciml.simulation.base import Simulation
    from sciml.simulation.making import Made, Plan

    Maker = Callable[[Plan, Sequence[int], Made], None]

NAME = "simulation"  # the folder of the cache in which there is one for each equation
SUFFIX = ".hdf5"
_RECORD = "plan.json"  # in the folder of the chunks
_PACKAGES = ("sciml", "torch", "numpy", "h5py")


class Watch:
    """Hears how a generation goes; this one keeps silent."""

    def begin(self, name: str, done: int, n: int) -> None:
        """It begins, with ``done`` of the samples there from before."""

    def advance(self, done: int) -> None:
        """So many are there now."""

    def end(self) -> None:
        """It is over, well or not."""

    def waiting(self) -> None:
        """Another process makes the same, and its end is waited for."""


def stored(simulation: Simulation, n: int, seed: int, root: Path, *, make: Maker, watch: Watch | None = None) -> Path:
    """The file with the first ``n`` samples of a seed; made if it is not there or damaged, from the chunks there are.

    Args:
        simulation: What makes them.
        n: How many.
        seed: Of the data set.
        root: The cache.
        make: Makes chunks: ``(plan, chunks, made)``, see :mod:`sciml.simulation.making`.
        watch: Is told how it goes.

    Returns:
        An HDF5 file (:mod:`sciml.simulation.layout`), not to be written to.

    Raises:
        RunError: A sample cannot be computed or is not finite; the cache cannot be written.
    """
    name, what, listener = f"{NAME}/{simulation.name()}", settings(simulation, n, seed), watch or Watch()
    parts = cache.parts_of(cache.place_of(root, name, what, version=simulation.version))

    def generate(path: Path) -> None:
        from sciml.simulation.making import Plan

        plan = Plan(simulation, n, seed, parts)
        record = {"name": name, "version": simulation.version, "settings": what, "versions": _versions()}
        _prepare(parts, record | {"chunk": simulation.chunk, "chunks": len(plan.chunks)})
        _complete(plan, make, listener)
        about = {
            "generator": what["generator"],
            "generator_version": simulation.version,
            "n": n,
            "seed": seed,
            "chunk": simulation.chunk,
            "periodic": list(simulation.periodic),
            "versions": record["versions"],
        }
        layout.write(path, _chunks(plan), simulation.coordinates(), what["parameters"], about)

    return cache.entry(
        root, name, what, version=simulation.version, generate=generate, suffix=SUFFIX, waiting=listener.waiting
    )


def settings(simulation: Simulation, n: int, seed: int) -> dict[str, Any]:
    """All that a file depends on but the version, as plain data."""
    kind, hints = type(simulation), hints_of(type(simulation))
    given: dict[str, Any] = json.loads(json.dumps(simulation.parameters()))
    # What a config writes as 1 and as 1.0 is one number.
    exact = {name: float(value) if kind_of(hints.get(name)) is float else value for name, value in given.items()}
    return {"generator": f"{kind.__module__}.{kind.__qualname__}", "parameters": exact, "n": n, "seed": seed}


def found(root: Path, node: Mapping[str, Any], n: int, seed: int) -> Path | None:
    """The file that :func:`stored` would return, if it is there and whole and a look at the records can tell.

    Args:
        root: The cache.
        node: The config of a simulation.
        n: How many samples.
        seed: Of the data set.
    """
    current = _declared_version(str(node.get("_target_")))
    parameters = {name: value for name, value in node.items() if name != "_target_"}
    what = {"generator": node.get("_target_"), "parameters": parameters, "n": n, "seed": seed}
    for entry in cache.kept(root, NAME) if current is not None else ():
        if entry.version == current and entry.settings == what and entry.whole():
            return entry.file
    return None


def _declared_version(target: str) -> int | None:
    """``version`` of a class of ours, from its source, because importing it would import torch."""
    module, _, name = target.rpartition(".")
    if not module.startswith(f"{__package__}."):
        return None
    try:
        spec = find_spec(module)
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec and spec.origin else ast.Module([], [])
    except (ModuleNotFoundError, OSError, SyntaxError):
        return None
    body = next((c.body for c in tree.body if isinstance(c, ast.ClassDef) and c.name == name), [])
    for assigned in (s for s in body if isinstance(s, ast.Assign | ast.AnnAssign)):
        names = assigned.targets if isinstance(assigned, ast.Assign) else [assigned.target]
        if ast.unparse(names[0]) == "version" and isinstance(assigned.value, ast.Constant):
            return assigned.value.value if isinstance(assigned.value.value, int) else None
    return None


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _prepare(parts: Path, record: Mapping[str, Any]) -> None:
    """The folder of the chunks; those of other versions of the packages may differ in their last bits, and go."""
    path = parts / _RECORD
    text = json.dumps(record, indent=1) + "\n"
    try:
        same = path.read_text() == text
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        write_atomically(path, text)


def _complete(plan: Plan, make: Maker, watch: Watch) -> None:
    missing = plan.missing()
    done = plan.n - sum(plan.span(chunk)[1] for chunk in missing)

    def made(chunk: int) -> None:
        nonlocal done
        done += plan.span(chunk)[1]
        watch.advance(done)

    watch.begin(plan.simulation.name(), done, plan.n)
    try:
        make(plan, missing, made)
    finally:
        watch.end()


def _chunks(plan: Plan) -> Iterator[dict[str, np.ndarray]]:
    from sciml.simulation.making import here

    for chunk in plan.chunks:
        fields = plan.read(chunk)
        if fields is None:  # a disk has lost it
            here(plan, [chunk], lambda _: None)
            fields = plan.read(chunk)
        assert fields is not None
        yield fields


@dataclass(frozen=True)
class Begun:
    """A generation that has not come to its end.

    Attributes:
        folder: Of the chunks.
        name: Of the generator.
        settings: As of :func:`settings`.
        done: Chunks that are there.
        chunks: Chunks in all.
        size: Of what is there, in bytes.
    """

    folder: Path
    name: str
    settings: dict[str, Any]
    done: int
    chunks: int
    size: int


def begun(root: Path) -> Iterator[Begun]:
    """Generations that are under way, or were stopped and can be gone on with."""
    for path in sorted((root / NAME).rglob(f"*.parts/{_RECORD}")):
        try:
            record = json.loads(path.read_text())
            sizes = [chunk.stat().st_size for chunk in path.parent.glob("*.npz")]
            yield Begun(path.parent, record["name"], record["settings"], len(sizes), record["chunks"], sum(sizes))
        except (OSError, ValueError, KeyError, TypeError):
            continue
