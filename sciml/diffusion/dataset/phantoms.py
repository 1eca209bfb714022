r"""Phantoms: a body with up to ``inner`` ellipses in it, grey values in [0, 1] on [-1, 1]², zero outside the unit disc.

The body has half axes in [0.6, 0.85], its centre within 0.1 of the middle along each axis, and a value in [0.3, 0.7].
Each of ``inner`` ellipses is then proposed, centred within the middle 60 % of the body, half axes in [0.05, 0.35], any
angle, a value of either sign between 0.1 and 0.5 to be added; it is kept if all pixels stay in [0, 1]. Nothing is cut
off, so that a phantom is a sum of ellipses and its Radon transform is known. This is the kind of image on which learned
tomography is tried where no patient data are to be had (Adler and Öktem 2018, *Learned Primal-Dual Reconstruction*,
section IV-A); the numbers are chosen here.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.ellipses import Ellipses, pixels
from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.ranges import Count, Natural, Several

_CHUNK = 64  # phantoms drawn at once


@final
class Phantoms(Dataset):
    """Images ``(points, points, 1)``; the splits come from streams of random numbers of their own.

    Args:
        points: Pixels a side.
        inner: Ellipses proposed for each body.
        n_train: Number of phantoms to fit to.
        n_val: Number to choose settings with.
        n_test: Number to judge with.
        seed: Of all of them.
    """

    names = ("density",)
    periodic = (False, False)

    def __init__(
        self,
        *,
        points: Several = 64,
        inner: Natural = 8,
        n_train: Count = 4000,
        n_val: Count = 200,
        n_test: Count = 200,
        seed: Natural = 0,
    ) -> None:
        self.counts = {"train": n_train, "val": n_val, "test": n_test}
        self.shape = (points, points, 1)
        self.points, self.inner, self.seed = points, inner, seed

    def splits(self) -> dict[str, Tensor]:
        return {split: self._images(split).unsqueeze(-1) for split in self.counts}

    def ellipses(self, split: str) -> Ellipses:
        """What the phantoms of a split are sums of, each tensor ``(n, 1 + inner)``; the value is 0 where none is."""
        parts = [ellipses for ellipses, _ in self._drawn(split)]
        return Ellipses(*(torch.cat(numbers) for numbers in zip(*parts, strict=True)))

    def _images(self, split: str) -> Tensor:
        return torch.cat([images for _, images in self._drawn(split)])

    def _drawn(self, split: str) -> list[tuple[Ellipses, Tensor]]:
        generator = stream(f"phantoms/{split}", self.seed)
        count = self.counts[split]
        # Whole chunks are drawn, so that the first phantoms do not depend on how many are asked for.
        drawn = [self._draw(generator) for _ in range(0, count, _CHUNK)]
        kept = [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]
        return [(Ellipses(*(e[:n] for e in found)), images[:n]) for (found, images), n in zip(drawn, kept, strict=True)]

    def _draw(self, generator: Generator) -> tuple[Ellipses, Tensor]:
        """One chunk."""

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(_CHUNK, generator=generator)

        body = Ellipses(
            x=between(-0.1, 0.1),
            y=between(-0.1, 0.1),
            a=between(0.6, 0.85),
            b=between(0.6, 0.85),
            angle=between(0, math.pi),
            value=between(0.3, 0.7),
        )
        found, image = [body], pixels(body, self.points)
        for _ in range(self.inner):
            along, direction = 0.6 * between(0, 1).sqrt(), between(0, 2 * math.pi)
            u, v = along * body.a * direction.cos(), along * body.b * direction.sin()
            cos, sin = body.angle.cos(), body.angle.sin()
            proposed = Ellipses(
                x=body.x + cos * u - sin * v,
                y=body.y + sin * u + cos * v,
                a=between(0.05, 0.35),
                b=between(0.05, 0.35),
                angle=between(0, math.pi),
                value=between(0.1, 0.5) * torch.where(between(0, 1) < 0.5, -1, 1),
            )
            added = image + pixels(proposed, self.points)
            fits = ((added >= 0) & (added <= 1)).flatten(1).all(1)
            image = torch.where(fits[:, None, None], added, image)
            found.append(proposed._replace(value=torch.where(fits, proposed.value, 0)))
        return Ellipses(*(torch.stack(numbers, dim=1) for numbers in zip(*found, strict=True))), image
