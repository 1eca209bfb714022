"""One training step (forward, mean square, backward, Adam) of Transolver and LSM: with this project's programs for
attention among slices and for trigonometric series (``sciml/kernel``), with torch's operations, and with torch.compile.

The sizes are those of the table wu2023lsm/darcy, budget desk, and those of the papers. One thread. Contenders are
processes with the same weights that take turns; a ratio is that of two turns of the same round (processor seconds),
given as the median over the rounds with its middle half. Memory is the peak of the process, its libraries included;
`difference` is that of the gradients before the first step from those of torch's operations, relative.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from operator_step import spread
from pinn_step import Contender
from pinn_turns import Turns
from torch import Tensor, nn

from sciml.allocator import keep_freed
from sciml.kernel.fusing import fusing
from sciml.network.lsm import LSM
from sciml.network.transolver import Transolver

SMALL: dict[str, Any] = {"width": 32, "depth": 4, "heads": 4, "slices": 32, "reference": 0, "init": "torch"}
# Points an axis, batch, network.
CASES: dict[str, tuple[int, int, Callable[[], nn.Module]]] = {
    "transolver-desk": (43, 4, lambda: Transolver(3, 1, **SMALL)),
    "transolver-paper": (85, 4, lambda: Transolver(3, 1, width=128, depth=8, heads=8, slices=64)),
    "lsm-desk": (43, 4, lambda: LSM(3, 1, patch=(3, 3), width=16, heads=2)),
    "lsm-paper": (85, 20, lambda: LSM(3, 1, patch=(6, 6), width=64, heads=8)),
}
CONTENDERS = ("fused", "torch", "compiled")


def contend(name: str, case: str) -> None:
    turns = Turns()
    torch.set_num_threads(1)
    keep_freed()
    points, batch, make = CASES[case]
    torch.manual_seed(0)
    network = make()
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(batch, points, points, 3, generator=generator)
    target = torch.randn(batch, points, points, 1, generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    called: Any = torch.compile(network) if name == "compiled" else network

    def gradient(block: AbstractContextManager[object]) -> None:
        optimizer.zero_grad()
        with block:
            loss = (called(u) - target).square().mean()
        loss.backward()

    def block() -> AbstractContextManager[object]:
        return fusing() if name == "fused" else nullcontext()

    def gradients() -> Tensor:
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    start = time.perf_counter()
    gradient(block())
    seconds = time.perf_counter() - start
    difference = 0.0
    if name != "torch":
        mine, called = gradients(), network
        gradient(nullcontext())
        theirs = gradients()
        difference = float((mine - theirs).norm() / theirs.norm())
        called = torch.compile(network) if name == "compiled" else network

    def step() -> None:
        gradient(block())
        optimizer.step()

    for _ in range(3):
        step()
    turns.say(ready=True, first=seconds, difference=difference, parameters=sum(p.numel() for p in network.parameters()))
    while True:
        turns.measure(turns.next(), step)


class Process(Contender):
    """A contender."""

    def __init__(self, name: str, case: str) -> None:
        self.name = name
        command = [sys.executable, str(Path(__file__)), "--contender", name, "--cases", case]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0, help="a turn takes about as long")
    parser.add_argument("--without", nargs="*", default=[], choices=CONTENDERS[1:], help="contenders to leave out")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        contend(args.contender, args.cases[0])
    names = [name for name in CONTENDERS if name not in args.without]
    others = names[1:]
    header = ["network", "parameters", "fused ms", *(f"{name} / fused" for name in others), "difference"]
    header += [*(f"first step s: {name}" for name in names), *(f"peak MB: {name}" for name in names)]
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|", flush=True)
    for case in args.cases:
        contenders = [Process(name, case) for name in names]
        said = {c.name: c.hear() for c in contenders}
        once = {c.name: c.ask("1")["cpu"] for c in contenders}
        steps = max(1, round(args.seconds / once["fused"]))
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(args.rounds):
            first = turn % len(contenders)  # another one begins each round
            for contender in contenders[first:] + contenders[:first]:
                times[contender.name].append(contender.ask(str(steps))["cpu"])
        peaks = {contender.name: contender.ask("")["peak"] for contender in contenders}
        points, batch, _ = CASES[case]
        cells = [f"{case}, {points} x {points}, batch {batch}", f"{said['fused']['parameters']:,}"]
        cells.append(spread([1e3 * t for t in times["fused"]], 1))
        cells += [spread([s / f for s, f in zip(times[name], times["fused"], strict=True)]) for name in others]
        cells += [f"{said['fused']['difference']:.1e}", *(f"{said[name]['first']:.1f}" for name in names)]
        print("| " + " | ".join([*cells, *(f"{peaks[name]:.0f}" for name in names)]) + " |", flush=True)


if __name__ == "__main__":
    main()
