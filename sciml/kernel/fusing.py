"""Where several operations of torch may be one of this project's own.

Outside a :func:`fusing` block they are torch's: what is fused can be differentiated once, which is what a training step
needs and most other callers do not want to be limited to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd import forward_ad


@dataclass
class Fusing:
    """What a :func:`fusing` block has met.

    Attributes:
        build: Whether programs are compiled and used, or only noted.
        stacks: Stacks of layers that can be one operation.
    """

    build: bool
    stacks: set[Hashable] = field(default_factory=set)


_active: ContextVar[Fusing | None] = ContextVar("fusing", default=None)


@contextmanager
def fusing(*, build: bool = True) -> Iterator[Fusing]:
    """In this block operations are one where that is possible; with ``build`` false they are only noted."""
    session = Fusing(build)
    token = _active.set(session)
    try:
        yield session
    finally:
        _active.reset(token)


def session() -> Fusing | None:
    """The block that this is in, if any."""
    return _active.get()


def fit(*tensors: Tensor) -> bool:
    """Whether a program can have these: on the CPU, of one real type, and themselves.

    Tensors that somebody maps or differentiates forward over (``torch.func``, ``torch.autograd.forward_ad``) are not.
    """
    dtype = tensors[0].dtype
    return dtype in (torch.float32, torch.float64) and all(
        a.dtype == dtype
        and a.device.type == "cpu"
        and not is_functorch_wrapped_tensor(a)
        and forward_ad.unpack_dual(a).tangent is None
        for a in tensors
    )
