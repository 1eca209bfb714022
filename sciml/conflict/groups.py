"""Loss terms in groups, each of which counts as one loss: two losses of a problem with three terms, for instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sciml.errors import ConfigError

Groups = Sequence[Sequence[str]]


def partition(names: Sequence[str], groups: Groups | None, *, key: str) -> tuple[tuple[str, ...], ...]:
    """The terms of each group, in the order of the groups.

    Args:
        names: Of all terms.
        groups: Names of the terms of each group; terms that are not named make a group together, the last. Without
            groups each term is one.
        key: What the groups are called in a config.

    Raises:
        ConfigError: A group names a term that does not exist, or one is in two groups.
    """
    if groups is None:
        return tuple((name,) for name in names)
    named = [name for group in groups for name in group]
    for name in named:
        if name not in names:
            raise ConfigError(f"{key}: the loss has no term '{name}'; it has {', '.join(names)}")
        if named.count(name) > 1:
            raise ConfigError(f"{key}: the term '{name}' is in more than one group")
    rest = tuple(name for name in names if name not in named)
    return (*(tuple(group) for group in groups if group), *([rest] if rest else []))


def total(terms: Mapping[str, Tensor], group: Sequence[str]) -> Tensor:
    """The sum of the terms of a group, a scalar."""
    return torch.stack([terms[name] for name in group]).sum()
