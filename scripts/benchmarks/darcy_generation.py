"""Darcy flow with coefficients 3 and 12: this project's solver, SciPy's sparse LU, PyAMG (Ruge-Stüben, with CG).

The same coefficients and the same five-point scheme for all, a relative residual of 1e-8 (LU leaves what rounding
leaves). ``direct`` is SuperLU with the ordering and pivoting for symmetric matrices, ``spsolve`` with its defaults. One
thread. Contenders take turns; a ratio is that of the processor seconds of two turns of the same round, given as the
median over the rounds with its middle half.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sciml.simulation.darcy import Darcy

CASES = {85: 16, 169: 8, 421: 2}  # points a side: samples a turn
PEERS = ("direct", "spsolve", "pyamg")


class Contender:
    """A process that takes turns."""

    def __init__(self, python: str, name: str, file: str) -> None:
        command = [python, str(Path(__file__).parent / "darcy_contender.py"), name, file]
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.residual = self.hear()["residual"]

    def hear(self) -> dict[str, Any]:
        """Its next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self.process.wait()}")
        return json.loads(line)

    def turn(self) -> float:
        """Processor seconds of one turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hear()["cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the peers' environment")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--points", type=int, nargs="+", default=[85, 169], choices=list(CASES))
    args = parser.parse_args()
    header = ["points", "ms a sample", *(f"{peer}, ratio" for peer in PEERS), "residual: own", *PEERS]
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|", flush=True)
    for points in args.points:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "coefficients.npy")
            np.save(file, Darcy(points=points).samples(0, CASES[points], 0)["nu"].astype(float))
            contenders = [Contender(sys.executable, "own", file)]
            contenders += [Contender(args.peers, peer, file) for peer in PEERS]
        times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for turn in range(args.rounds):
            # Another one begins each round.
            for contender in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
                times[contender.name].append(contender.turn())
        for contender in contenders:
            contender.process.communicate()
        cells = [f"{points}²", f"{1e3 * statistics.median(times['own']) / CASES[points]:.2f}"]
        for peer in PEERS:
            ratios = sorted(theirs / ours for theirs, ours in zip(times[peer], times["own"], strict=True))
            quarter = len(ratios) // 4
            cells.append(f"{statistics.median(ratios):.1f} ({ratios[quarter]:.1f}-{ratios[-1 - quarter]:.1f})")
        cells += [f"{contender.residual:.0e}" for contender in contenders]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
