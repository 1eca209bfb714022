"""What the training pass left, on disk: shards of activations and output gradients, and the curvature.

::

    <folder>/<key>/manifest.json      names and checksums of the files below
    <folder>/<key>/curvature.pt       bases and spectra of all blocks
    <folder>/<key>/shard-0000.pt ...  inputs and output gradients of one batch of training examples, in the bases

The key is a hash of everything that these depend on: parameters, network, data, masks, what of the curvature is used,
and the seed where it is sampled. Another query, damping or way to score finds the same key, so one training pass serves
them all. An entry appears whole or not at all. Shards are mapped into memory and read when they are scored; they are
plain tensors, loaded without running code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import NetworkTask, Params
from sciml.influence.kronecker.basis import Basis
from sciml.influence.kronecker.index import Block, Index, Recipe
from sciml.influence.score import Examples

FORMAT = 1


def key(task: NetworkTask, params: Params, recipe: Recipe) -> str:
    """What an entry is called: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    seed = torch.initial_seed() if recipe.curvature in ("auto", "monte_carlo") else 0
    words = (FORMAT, dataclasses.asdict(recipe), seed, repr(task.network), type(task.likelihood).__qualname__)
    digest.update(repr(words).encode())
    tensors = {**dict(task.network.named_buffers()), **params, "/x": task.x, "/y": task.y, "/mask": task.mask}
    for name, tensor in tensors.items():
        if tensor is not None:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def save(folder: Path, name: str, index: Index) -> None:
    """Write an entry; one that another process has finished meanwhile is kept.

    Raises:
        RunError: The folder cannot be written.
    """
    entry, temporary = folder / name, folder / f".{name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        files: dict[str, object] = {"curvature.pt": {block: _curvature(b) for block, b in index.items()}}
        for i in range(max((len(block.train) for block in index.values()), default=0)):
            files[f"shard-{i:04}.pt"] = {block: _tensors(b.train[i]) for block, b in index.items()}
        checksums: dict[str, str] = {}
        for file, content in files.items():
            torch.save(content, temporary / file)
            checksums[file] = _checksum(temporary / file)
        (temporary / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": checksums}, indent=1))
        if not entry.exists():
            os.replace(temporary, entry)
    except OSError as error:
        raise RunError(f"cannot write the influence store {entry}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path, name: str) -> Index | None:
    """Read an entry, or None where there is none.

    Raises:
        RunError: A file is missing or is not what was written.
    """
    entry = folder / name
    if not entry.exists():
        return None
    try:
        manifest = json.loads((entry / "manifest.json").read_text())
        checksums = dict(manifest["files"])
        checksums["curvature.pt"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(entry / "manifest.json") from error
    content: dict[str, dict[str, dict[str, Tensor | None]]] = {}
    for file, expected in checksums.items():
        path = entry / file
        try:
            found = _checksum(path)
        except OSError as error:
            raise _damaged(path) from error
        if found != expected:
            raise _damaged(path)
        content[file] = torch.load(path, mmap=True, weights_only=True)
    curvature = content.pop("curvature.pt")
    index: Index = {}
    for block, parts in curvature.items():
        spectrum = parts["spectrum"]
        assert spectrum is not None
        basis = Basis(parts["left"], parts["right"], spectrum) if "left" in parts else None
        train = [Examples(**content[file][block]) for file in sorted(content)]  # type: ignore[arg-type]
        index[block] = Block(basis, spectrum, train)
    return index


def _curvature(block: Block) -> dict[str, Tensor | None]:
    found: dict[str, Tensor | None] = {"spectrum": block.spectrum}
    if block.basis is not None:
        found |= {"left": block.basis.left, "right": block.basis.right}
    return found


def _tensors(examples: Examples) -> dict[str, Tensor | None]:
    # Cloned: a view would be saved with all that it is a view of.
    return {
        "inputs": examples.inputs.detach().clone(),
        "grads": None if examples.grads is None else examples.grads.detach().clone(),
    }


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path) -> RunError:
    return RunError(f"{path} is damaged or missing: delete the folder {path.parent} and run again, it is made anew")
