"""What every contender of the step benchmark does, in whichever environment: problems, turns, the plain contender.

A contender is a process. It builds one problem, takes a few steps, says ``ready``, and then takes as many steps as each
line of its input asks for and answers with their wall and processor seconds. All contenders of a case are alive at
once and take turns, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NU = 0.01 / math.pi
WAVES = 1.0, 4.0  # of Helmholtz
DOMAINS = {
    "burgers": ((0.0, -1.0), (1.0, 1.0)),
    "helmholtz": ((-1.0, -1.0), (1.0, 1.0)),
    "kdv": ((0.0, -1.0), (1.0, 1.0)),
    "biharmonic": ((0.0, 0.0), (1.0, 1.0)),
}


class Turns:
    """The conversation with the benchmark."""

    def __init__(self) -> None:
        self.out = sys.stdout
        sys.stdout = sys.stderr  # whatever a library prints is no part of the conversation

    def say(self, **what: Any) -> None:
        """Answer with one line of JSON."""
        print(json.dumps(what), file=self.out, flush=True)

    def next(self) -> int:
        """How many steps to take now; ends the process when there are no more turns."""
        line = sys.stdin.readline()
        if not line.strip():
            self.say(peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            self.out.flush()
            import os

            os._exit(0)  # in the middle of a training loop
        return int(line)

    def take(self, step: Callable[[], Any]) -> None:
        """Take the steps of all turns."""
        self.say(ready=True)
        while True:
            self.measure(self.next(), step)

    def measure(self, n: int, step: Callable[[], Any]) -> None:
        start = time.perf_counter(), time.process_time()
        for _ in range(n):
            step()
        self.say(wall=(time.perf_counter() - start[0]) / n, cpu=(time.process_time() - start[1]) / n)


class Counted:
    """A Lightning callback that takes turns: a batch is ``steps`` steps."""

    def __init__(self, turns: Turns, warm: int, steps: int = 1) -> None:
        self.turns, self.steps, self.left, self.n = turns, steps, warm, 0
        self.start = 0.0, 0.0

    def before(self) -> None:
        if self.left == 0:
            if self.n == 0:
                self.turns.say(ready=True)
            self.n = self.left = self.turns.next()
            self.start = time.perf_counter(), time.process_time()

    def after(self) -> None:
        self.left -= self.steps
        if self.left <= 0 and self.n:
            wall, cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
            self.turns.say(wall=wall / self.n, cpu=cpu / self.n)
        self.left = max(self.left, 0)


def points(case: str, n: int, dtype: torch.dtype) -> Tensor:
    """The same interior points for everybody."""
    lower, upper = (torch.tensor(corner, dtype=torch.float64) for corner in DOMAINS[case])
    unit = torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (lower + (upper - lower) * unit).to(dtype)


def gradient(u: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)[0]


def nested_residual(case: str, u: Tensor, p: Tensor) -> Tensor:
    """The residual as people write it by hand."""
    g = gradient(u, p)
    first, second = g[:, :1], g[:, 1:]
    if case == "burgers":
        return first + u * second - NU * gradient(second, p)[:, 1:]
    if case == "kdv":
        u_xx = gradient(second, p)[:, 1:]
        return first + u * second + 0.022**2 * gradient(u_xx, p)[:, 1:]
    u_xx, u_yy = gradient(first, p)[:, :1], gradient(second, p)[:, 1:]
    if case == "helmholtz":
        a, b = WAVES
        factor = 1 - (a * math.pi) ** 2 - (b * math.pi) ** 2
        return u_xx + u_yy + u - factor * torch.sin(a * math.pi * p[:, :1]) * torch.sin(b * math.pi * p[:, 1:])
    laplacian = u_xx + u_yy
    g = gradient(laplacian, p)
    both = gradient(g[:, :1], p)[:, :1] + gradient(g[:, 1:], p)[:, 1:]
    return both - 4 * math.pi**4 * torch.sin(math.pi * p[:, :1]) * torch.sin(math.pi * p[:, 1:])


def mlp(width: int, depth: int, dtype: torch.dtype) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(2 if i == 0 else width, width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, 1)).to(dtype)


def nested(case: str, n: int, dtype: torch.dtype, turns: Turns) -> None:
    """Plain PyTorch: nested autograd and Adam."""
    network, x = mlp(50, 4, dtype), points(case, n, dtype).requires_grad_()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        nested_residual(case, network(x), x).square().mean().backward()
        optimizer.step()

    for _ in range(3):
        step()
    turns.take(step)
