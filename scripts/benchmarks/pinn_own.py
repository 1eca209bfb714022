"""This project's contenders of the step benchmark, through its own module and loop; see pinn_turns.py."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from pinn_turns import DOMAINS, NU, WAVES, Counted, Turns, points
from torch import Generator, Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.operator import laplacian, partials
from sciml.network.mlp import MLP
from sciml.pinn.collocation.fixed import Fixed
from sciml.pinn.module import Pinn
from sciml.pinn.problem.box import Box
from sciml.pinn.weighting.fixed import Fixed as Weights

CHUNK = 100  # the default of log_every
FIRST, SECOND = partials(2)


class Case(Equation):
    """The residual of a case, as equations here are written."""

    outputs = ("u",)

    def __init__(self, case: str) -> None:
        self.case = case
        self.inputs = ("t", "x") if case in ("burgers", "kdv") else ("x", "y")
        self.lower, self.upper = DOMAINS[case]

    def residual(self, field: Field, x: Tensor) -> Tensor:
        if self.case == "burgers":
            u, rest, u_x = field.derivatives(x, FIRST - NU * SECOND**2, SECOND)
            return rest + u * u_x
        if self.case == "kdv":
            u, rest, u_x = field.derivatives(x, FIRST + 0.022**2 * SECOND**3, SECOND)
            return rest + u * u_x
        if self.case == "helmholtz":
            a, b = WAVES
            u, lap = field.derivatives(x, laplacian(FIRST, SECOND))
            factor = 1 - (a * math.pi) ** 2 - (b * math.pi) ** 2
            return lap + u - factor * torch.sin(a * math.pi * x[:, :1]) * torch.sin(b * math.pi * x[:, 1:])
        _, both = field.derivatives(x, laplacian(FIRST, SECOND) ** 2)
        return both - 4 * math.pi**4 * torch.sin(math.pi * x[:, :1]) * torch.sin(math.pi * x[:, 1:])

    def reference(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Given(Fixed):
    """The points of everybody."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def start(self, problem: Any, points: Tensor, generator: Generator) -> Tensor:
        return self.x.double()


class Turn(Callback):
    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    def on_train_batch_start(self, *args: Any) -> None:
        self.counted.before()

    def on_train_batch_end(self, *args: Any) -> None:
        self.counted.after()


def own(case: str, n: int, dtype: torch.dtype, turns: Turns, mode: str) -> None:
    """The module of this project, with its step compiled or not."""
    torch.set_default_dtype(dtype)
    equation = Case(case)
    module = Pinn(
        problem=Box(equation=equation, conditions={}, grid=dict.fromkeys(equation.inputs, 2)),
        network=partial(MLP, width=50, depth=4),
        collocation=Given(points(case, n, dtype)),
        weighting=Weights(weights={}),
        optimizer=partial(torch.optim.Adam, lr=1e-3, fused=True),
        n_points=n,
        n_val=10,
        log_every=CHUNK,
        val_every=CHUNK * 10**6,
        compile=mode,  # pyright: ignore[reportArgumentType]
    )
    Trainer(
        max_steps=10**9,
        accelerator="cpu",
        precision="64-true" if dtype == torch.float64 else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Turn(Counted(turns, warm=CHUNK, steps=CHUNK))],
    ).fit(module)
