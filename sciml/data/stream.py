"""Named streams of random numbers: one generator for each purpose, all from the run's seed.

Two parts of a run that draw from one generator change each other's numbers as soon as one of them
draws more. With one stream for each purpose the observations are the same for every solver, and the
batches are the same for every network.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Generator, Tensor


def stream(name: str, seed: int | None = None) -> Generator:
    """A CPU generator that depends on ``name`` and ``seed`` only.

    Args:
        name: What the numbers are for.
        seed: Any integer; by default the seed with which torch was seeded, that is the run's.
    """
    seed = torch.initial_seed() if seed is None else seed
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def normal(shape: tuple[int, ...], generator: Generator, like: Tensor) -> Tensor:
    """Standard normal numbers on the device and of the dtype of ``like``.

    They are drawn where the generator lives, so that a run sees the same noise on every device.
    """
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)
