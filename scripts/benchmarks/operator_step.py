"""One training step of an FNO (forward, relative L2 loss, backward, AdamW): this project and neuraloperator 2.0.0.

All contenders have the same architecture, that of neuraloperator's ``FNO`` at its defaults, the same number of
parameters and the same weights at the start; `difference` is that of the first predictions, relative. On odd grids
neuraloperator 2.0.0 computes another operator (sciml/network/neuraloperator.py), so there it is not small. The peer is
measured with the AdamW of its own training scripts, with torch's, and with torch's in a process that keeps freed
memory (:mod:`sciml.allocator`), as runs of this project do.

One thread. Contenders are processes that take turns; a ratio is that of two turns of the same round (processor seconds
on a CPU, wall seconds on a GPU), given as the median over the rounds with its middle half. Memory is the peak of the
process, its libraries included; on a GPU what was allocated there. On a GPU the bandwidth that a spectral layer reaches
is printed beside that of a plain copy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pinn_step import Contender

CASES = [(16, 32, 24, 8), (64, 20, 32, 24), (85, 16, 32, 24)]  # points an axis, batch, width, modes
OWN = ("eager", "compiled")
PEERS = ("neuraloperator", "torch-adamw", "kept-memory")


class Process(Contender):
    """A contender in its environment."""

    def __init__(self, python: str, name: str, arguments: list[str]) -> None:
        self.name = name
        command = [python, str(Path(__file__).parent / "operator_contender.py"), name, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def spread(values: list[float], digits: int = 2) -> str:
    """Median and middle half."""
    values, quarter = sorted(values), len(values) // 4
    return f"{statistics.median(values):.{digits}f} ({values[quarter]:.{digits}f}-{values[-1 - quarter]:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="Python of the peer's environment")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=0, help="a turn; 0: by size, about a second")
    parser.add_argument("--points", type=int, nargs="*", default=[case[0] for case in CASES], help="cases to run")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--without", nargs="*", default=[], choices=[*OWN[1:], *PEERS], help="contenders to leave out")
    args = parser.parse_args()
    own, peers = ([n for n in names if n not in args.without] for names in (OWN, PEERS))
    names = [*own, *peers]
    header = ["grid", "parameters", "difference", "eager ms"]
    header += [f"{peer} / {mine}" for mine in own for peer in peers] + ["eager / compiled"] * ("compiled" in own)
    header += [f"peak MB: {name}" for name in names]
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|", flush=True)
    clock = "cpu" if args.device == "cpu" else "wall"
    for points, batch, width, modes in CASES:
        if points not in args.points:
            continue
        with tempfile.TemporaryDirectory() as folder:
            arguments = [*map(str, (points, batch, width, modes)), args.device, folder]
            contenders, said = [], {}
            for name in names:  # the eager one first: it makes the weights of all
                contenders.append(Process(sys.executable if name in OWN else args.peers, name, arguments))
                said[name] = contenders[-1].hear()
        counts = {said[name]["parameters"] for name in names}
        if len(counts) > 1:
            raise SystemExit(f"the contenders have {counts} parameters")
        steps = args.steps or max(1, 20 * 16**2 // points**2)
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(args.rounds):
            first = turn % len(contenders)  # another one begins each round
            for contender in contenders[first:] + contenders[:first]:
                times[contender.name].append(contender.ask(str(steps))[clock])
        peaks = {contender.name: contender.ask("")["peak"] for contender in contenders}
        if args.device == "cuda":
            peaks = {name: said[name]["peak_gpu"] for name in names}

        def ratio(slow: str, fast: str) -> str:
            return spread([s / f for s, f in zip(times[slow], times[fast], strict=True)])  # noqa: B023

        difference = said[peers[0]]["difference"] if peers else float("nan")
        cells = [f"{points} x {points}, batch {batch}", f"{counts.pop():,}", f"{difference:.1e}"]
        cells.append(spread([1e3 * t for t in times["eager"]], 1))
        cells += [ratio(peer, mine) for mine in own for peer in peers]
        cells += [ratio("eager", name) for name in own if name == "compiled"]
        cells += [f"{peaks[name]:.0f}" for name in names]
        print("| " + " | ".join(cells) + " |", flush=True)
        if "bandwidth" in said["eager"]:
            reached = said["eager"]["bandwidth"]
            print(f"spectral layer {reached['spectral'] / 1e9:.0f} GB/s, plain copy {reached['copy'] / 1e9:.0f} GB/s")


if __name__ == "__main__":
    main()
