"""A stack's program, compiled and called."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.kernel.compiler import load
from sciml.kernel.source import Stack

ALIGNMENT = 64
_GROUPS = ("inputs", "weights", "biases", "cotangents", "outputs")


class Program:
    """The compiled program of a stack.

    Args:
        stack: What it is made for.

    Raises:
        NotCompiled: See there.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.channels = 1 + len(stack.rules)
        self._library = load("stack", stack.source())
        for name in ("kept", "argument_bytes"):
            getattr(self._library, name).restype = ctypes.c_long
        self._tile, self._kept = int(self._library.tile()), int(self._library.kept())
        self._Arguments = _arguments(self.channels, len(stack.widths) - 1)
        assert ctypes.sizeof(self._Arguments) == self._library.argument_bytes()

    @property
    def parameters(self) -> int:
        """Weights and biases, in numbers."""
        return sum(n * m + m for n, m in zip(self.stack.widths, self.stack.widths[1:], strict=False))

    def kept(self, points: int) -> int:
        """How many numbers the forward pass leaves for the backward pass."""
        return -(-points // self._tile) * self._kept

    def forward(self, inputs: Sequence[Tensor], weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[Tensor]:
        """Value and channels of the outputs.

        Args:
            inputs: Value (n, inputs), then the channels, each (n, inputs) or one row (1, inputs) for all points.
            weights: By layer, (to, from).
            biases: By layer, (to,).

        Returns:
            What :meth:`backward` needs, a flat tensor; then value and channels (n, outputs).
        """
        points = inputs[0].shape[0]
        kept = inputs[0].new_empty(self.kept(points))
        outputs = [inputs[0].new_empty(points, self.stack.widths[-1]) for _ in range(self.channels)]
        self._call("run_forward", inputs, weights, biases=biases, outputs=outputs, kept=kept)
        return [kept, *outputs]

    def backward(
        self, inputs: Sequence[Tensor], weights: Sequence[Tensor], kept: Tensor, cotangents: Sequence[Tensor]
    ) -> Tensor:
        """The gradient.

        Args:
            inputs: As in :meth:`forward`.
            weights: As in :meth:`forward`.
            kept: What it returned first.
            cotangents: Of value and channels (n, outputs).

        Returns:
            A flat tensor: weights and biases of the first layer, of the second, and so on.
        """
        gradient = kept.new_empty(self.parameters)
        self._call("run_backward", inputs, weights, cotangents=cotangents, kept=kept, gradients=gradient)
        return gradient

    def _call(
        self,
        function: str,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        *,
        kept: Tensor,
        biases: Sequence[Tensor] = (),
        outputs: Sequence[Tensor] = (),
        cotangents: Sequence[Tensor] = (),
        gradients: Tensor | None = None,
    ) -> None:
        # Contiguous copies live in these lists until the call is over.
        read = [[a.contiguous() for a in group] for group in (inputs, weights, biases, cotangents)]
        if kept.data_ptr() % ALIGNMENT:
            raise ValueError("the memory between the passes is not aligned")
        arguments = self._Arguments()
        arguments.points = points = inputs[0].shape[0]
        for i, a in enumerate(read[0]):
            arguments.strides[i] = 0 if a.shape[0] == 1 < points else a.shape[1]
        for name, group in zip(_GROUPS, (*read, outputs), strict=True):
            row = getattr(arguments, name)
            for i, a in enumerate(group):
                row[i] = a.data_ptr()
        arguments.kept, arguments.gradients = kept.data_ptr(), 0 if gradients is None else gradients.data_ptr()
        if getattr(self._library, function)(ctypes.byref(arguments), torch.get_num_threads()):
            raise MemoryError("no memory for a tile of points")


def _arguments(channels: int, layers: int) -> type[ctypes.Structure]:
    """``Arguments`` of stack.cpp."""
    pointer = ctypes.c_void_p
    fields = [
        ("points", ctypes.c_long),
        ("inputs", pointer * channels),
        ("strides", ctypes.c_long * channels),
        ("weights", pointer * layers),
        ("biases", pointer * layers),
        ("outputs", pointer * channels),
        ("cotangents", pointer * channels),
        ("kept", pointer),
        ("gradients", pointer),
    ]
    return type("Arguments", (ctypes.Structure,), {"_fields_": fields})
