"""One training step (residual, gradient, Adam) of an MLP 4 x 50 with tanh: this project, DeepXDE, PINA, plain PyTorch.

Same equation, interior points, network and precision for all; conditions are left out, as what they cost is a matter
of how many points they have. One thread. Contenders take turns (pinn_turns.py); a ratio is that of the processor
seconds of two turns of the same round, given as the median over the rounds with its middle half. Memory is the peak of
the process, its libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

CASES = [
    ("burgers", 1000, "float32"),
    ("burgers", 1000, "float64"),
    ("burgers", 5000, "float32"),
    ("burgers", 5000, "float64"),
    ("helmholtz", 1000, "float32"),
    ("helmholtz", 5000, "float32"),
    ("kdv", 1000, "float32"),
    ("kdv", 5000, "float32"),
    ("biharmonic", 1000, "float32"),
    ("biharmonic", 5000, "float32"),
]
OWN = ("compiled", "eager")
PEERS = ("nested", "deepxde", "pina")
STEPS = 20  # a turn
OWN_STEPS = 100  # a turn of this project, which takes log_every steps at once, by default 100


class Contender:
    """A process that takes turns."""

    def __init__(self, python: str, name: str, case: tuple[str, int, str]) -> None:
        self.name = name
        here = Path(__file__).parent
        command = [python, str(here / "pinn_contender.py"), name, *map(str, case)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )

    def hear(self) -> dict[str, Any]:
        """Its next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            raise SystemExit(f"{self.name} ended:\n{errors[-3000:]}")
        return json.loads(line)

    def ask(self, what: str) -> dict[str, Any]:
        """Say a line, and hear the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.hear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the peers' environment")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="a part of a case's name, such as burgers-1000-float32")
    args = parser.parse_args()
    header = ["case", "compiled ms", "eager", *PEERS, "peak MB: compiled", "eager", *PEERS]
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|", flush=True)
    for case in CASES:
        name = "-".join(map(str, case))
        if args.only not in name:
            continue
        contenders = [Contender(sys.executable, own, case) for own in OWN]
        contenders += [Contender(args.peers, peer, case) for peer in PEERS]
        for contender in contenders:
            contender.hear()
        times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for turn in range(args.rounds):
            # Another one begins each round.
            for contender in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
                steps = OWN_STEPS if contender.name in OWN else STEPS
                times[contender.name].append(contender.ask(str(steps))["cpu"])
        peaks = {contender.name: contender.ask("")["peak"] for contender in contenders}
        base = times["compiled"]
        cells = [f"{case[0]}, N = {case[1]}, {case[2]}", f"{1e3 * statistics.median(base):.2f}"]
        for other in ("eager", *PEERS):
            ratios = sorted(theirs / ours for theirs, ours in zip(times[other], base, strict=True))
            quarter = len(ratios) // 4
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[quarter]:.2f}-{ratios[-1 - quarter]:.2f})")
        cells += [f"{peaks[other]:.0f}" for other in (*OWN, *PEERS)]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
