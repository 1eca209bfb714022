"""Samples of a posterior: error against evaluations of the denoiser, backward passes through it, and seconds.

The prior is that of sources a and solutions u of Poisson's equation on 32 x 32 points, known exactly, so that everybody
has the same perfect denoiser and the exact posterior stands beside. One field is seen at 123 points (12 %) with noise
of 1 % of its size, the other is judged: relative L2 error of one sample and of the mean of all, and the fair CRPS of
its entries over that of the exact posterior, of which samples with too little spread do not profit as errors do. It is
1 for exact samples but for chance: fields have few large modes. Moment matching and DiffusionPDE start from the same
noise, so that chance is the same for both. An evaluation is a call for the whole batch.
Weights and noise levels of all methods were chosen on truths of another seed.

Contenders take turns, one thread each; seconds are processor seconds, those of deepinv measured in its own process.
A denoiser that is a network costs more than this one: the ratio of seconds is then closer to that of evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PRIOR: dict[str, Any] = {"shape": (32, 32, 2), "scale": (0.292, 0.00418)}
SENSORS, NOISE = 123, 0.01
OURS = (4, 6, 8, 12, 20)  # evaluations of moment matching
RECIPE = "DiffusionPDE"
DIRECTIONS = ("forward: a seen, u judged", "inverse: u seen, a judged")
# Best of 3, 6, 12.7 and 3, 7.2, 10, 20 at 500 steps; those published for 2000 are 12.7 and 7.2 in these units.
ZETA = (6.0, 7.2)
# deepinv's weights: best of 30, 100, 300, 1000 and of 1, 2.
PEERS = {"deepinv DPS, 100": ("dps", 100, 300), "deepinv DPS, 1000": ("dps", 1000, 300)}
PEERS |= {"deepinv PiGDM, 100": ("pigdm", 100, 2)}


@dataclass
class Turn:
    """What one run of a contender gave: samples ``(problems, samples, *shape)`` and its cost."""

    x: Tensor
    seconds: float
    evaluations: int
    backwards: int


class Problem:
    """One direction: truths, what is seen of them, and the exact answer."""

    def __init__(self, seen: int, problems: int, samples: int, seed: int) -> None:
        from sciml.data.stream import normal, stream
        from sciml.diffusion.measurement.points import Points
        from sciml.diffusion.prior.source_solution import SourceSolution

        self.judged, self.samples, self.seed = 1 - seen, samples, seed
        self.prior = SourceSolution(**PRIOR)
        self.points = Points(shape=PRIOR["shape"], sensors=SENSORS, noise_std=NOISE, channels=[seen])
        self.truth = self.prior.sample(problems, stream("truth", seed))
        y = self.points(self.truth)
        self.y = y + NOISE * normal(tuple(y.shape), stream("noise", seed), y)
        self.prior.posterior(self.truth[:1], 1.0)  # its eigenvectors are made once, and not timed for anybody
        exact = self.prior.exact(self.points, self.y)
        assert exact is not None
        self.mean, self.std = exact.mean[..., self.judged], exact.variance[..., self.judged].sqrt()

    def own(self, solver: Callable[..., Tensor]) -> Turn:
        """A run of a solver of this project."""
        from sciml.data.stream import stream

        rows = self.y.repeat_interleave(self.samples, 0)
        before = self.prior.evaluations, self.prior.backwards
        start = time.process_time()
        with torch.no_grad():
            x = solver(rows, self.points, self.prior, (len(rows), *PRIOR["shape"]), stream("solver", self.seed))
        seconds = time.process_time() - start
        evaluations, backwards = self.prior.evaluations - before[0], self.prior.backwards - before[1]
        return Turn(x.unflatten(0, (-1, self.samples)), seconds, evaluations, backwards)

    def peer(self, python: Path, method: str, steps: int, weight: float) -> Turn:
        """A run of deepinv, in a process of its own."""
        here = Path(__file__)
        rows = self.y.repeat_interleave(self.samples, 0)
        mask = self.points.transpose(torch.ones_like(self.y[:1]))
        with tempfile.TemporaryDirectory(prefix="sciml-posterior-") as name:
            content = {"prior": PRIOR, "seen": self.points.transpose(rows), "mask": mask, "noise_std": NOISE}
            torch.save(content, Path(name) / "problem.pt")
            command = [str(python), str(here.with_name("posterior_peers.py")), method, str(steps), str(weight), name]
            environment = {**os.environ, "PYTHONPATH": str(here.parents[2])}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode != 0:
                sys.exit(f"{' '.join(command[1:])} failed:\n{done.stderr[-3000:]}")
            x = torch.load(Path(name) / "peer.pt", weights_only=True)["x"].unflatten(0, (-1, self.samples))
        return Turn(x, **json.loads(done.stdout.strip().splitlines()[-1]))

    def errors(self, x: Tensor) -> tuple[float, float, float]:
        """Of one sample and of the mean, relative L2; CRPS over that of the exact posterior."""
        from sciml.diffusion.calibration import crps

        truth, judged = self.truth[..., self.judged], x[..., self.judged]

        def relative(estimate: Tensor) -> float:
            return float(((estimate - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean())

        varies = self.std > 1e-9
        # A channel axis: the function averages over the entries of each field.
        scaled = [(part / self.std)[..., varies].unsqueeze(-1) for part in (judged, truth)]
        score = float(crps(*scaled).mean()) / self.exact_score()
        return statistics.mean(relative(one) for one in judged.unbind(1)), relative(judged.mean(1)), score

    def exact_score(self) -> float:
        """CRPS of the exact posterior in its standard deviations, mean over entries and problems, in closed form."""
        varies = self.std > 1e-9
        z = ((self.truth[..., self.judged] - self.mean) / self.std)[..., varies]
        normal = torch.distributions.Normal(z.new_zeros(()), z.new_ones(()))
        return float((z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - torch.pi**-0.5).mean())


def solvers(direction: int, steps: int) -> dict[str, Callable[..., Tensor]]:
    """Those of this project, by the name of their row."""
    from sciml.diffusion.guidance.moment_matching import MomentMatching
    from sciml.diffusion.levels import Geometric, Karras
    from sciml.diffusion.residual.helmholtz import Helmholtz
    from sciml.diffusion.sampler.dpmpp_2m import DPMpp2M
    from sciml.diffusion.solver.diffusionpde import DiffusionPDE
    from sciml.diffusion.solver.exact import Exact
    from sciml.diffusion.solver.guided import Guided

    found: dict[str, Callable[..., Tensor]] = {"exact posterior": Exact()}
    for n in OURS:
        levels = Geometric(steps=n, sigma_min=0.01, sigma_max=160.0)
        found[f"moment matching, {n}"] = Guided(sampler=DPMpp2M(levels=levels), guidance=MomentMatching())
    residual = Helmholtz(k=0.0, scale=PRIOR["scale"])
    found[f"{RECIPE}, {steps}"] = DiffusionPDE(zeta=ZETA[direction], residual=residual, levels=Karras(steps=steps))
    return found


def spread(values: list[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def compare(direction: int, problem: Problem, args: argparse.Namespace) -> None:
    """All contenders in one direction."""
    runs: dict[str, Callable[[], Turn]] = {}
    for name, solver in solvers(direction, args.steps).items():
        runs[name] = lambda solver=solver: problem.own(solver)
    if args.peers:
        for name, (method, steps, weight) in PEERS.items():
            runs[name] = lambda of=(method, steps, weight): problem.peer(args.peers, *of)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    errors: dict[str, tuple[float, float, float]] = {}
    turns: dict[str, Turn] = {}
    for i in range(args.rounds):
        for name in list(runs)[:: 1 if i % 2 == 0 else -1]:
            turns[name] = runs[name]()
            seconds[name].append(turns[name].seconds)
            errors[name] = problem.errors(turns[name].x)
    print(f"\n{DIRECTIONS[direction]}; {args.problems} problems, {args.samples} samples of each, one batch")
    print("| | evaluations | backward passes | seconds | sample % | mean % | CRPS / exact |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, turn in turns.items():
        sample, mean, score = errors[name]
        cells = [name, str(turn.evaluations), str(turn.backwards), spread(seconds[name])]
        print("| " + " | ".join([*cells, f"{100 * sample:.1f}", f"{100 * mean:.1f}", f"{score:.3f}"]) + " |")
    recipe = f"{RECIPE}, {args.steps}"
    fewest = next((n for n in OURS if errors[f"moment matching, {n}"][2] <= errors[recipe][2]), None)
    if fewest is None:
        print(f"no moment matching here has the CRPS of {recipe}")
        return
    ours = f"moment matching, {fewest}"
    ratios = [slow / fast for slow, fast in zip(seconds[recipe], seconds[ours], strict=True)]
    evaluations = turns[recipe].evaluations / fewest
    print(f"at the CRPS of {recipe}: {ours}, {evaluations:.0f}x fewer evaluations, {spread(ratios, 0)}x fewer seconds")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="python of deepinv's environment; without it deepinv is left out")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4, help="of each problem")
    parser.add_argument("--steps", type=int, default=500, help=f"of {RECIPE}; its paper takes 2000")
    parser.add_argument("--seed", type=int, default=0, help="of truths, noise and samples; settings were chosen on 7")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for direction in (0, 1):
        compare(direction, Problem(direction, args.problems, args.samples, args.seed), args)


if __name__ == "__main__":
    main()
