"""What ``sciml train`` costs over the same optimiser steps in a plain Python loop, and until the first one.

Per step: the module is built twice from one config. ``sciml train`` fits the one, with its checkpoints, held-out
losses, metrics file, tracker and terminal; a plain loop calls ``losses``, ``backward`` and the optimiser of the
other. Both must end with the same weights, bit for bit, or the comparison is void. Pairs alternate in order, and
each gives one ratio, so that a machine whose speed drifts does not decide the result.

To the first step: from starting the process until the first optimiser step is over, for ``sciml train`` and for a
script that imports torch and takes one step of a network of the same size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

FAMILY = "pinn"
BUDGET_PER_STEP, BUDGET_FIRST = 0.05, 3.0

FIRST_STEP = """
import os, sys, time
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

def first(*_):
    print(f"FIRST {time.monotonic()}", flush=True)
    os._exit(0)

register_optimizer_step_post_hook(first)
"""
RUNNER = FIRST_STEP + "from sciml.cli.main import main\nmain()\n"
BARE = (
    FIRST_STEP
    + """
from torch import nn
torch.set_num_threads(1)
sizes = [2, 50, 50, 50, 50]
layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.Tanh())]
network = nn.Sequential(*layers, nn.Linear(50, 1))
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
x = torch.rand(1000, 2, requires_grad=True)
(gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
(gradient[:, 1] + 30 * gradient[:, 0]).square().mean().backward()
optimizer.step()
"""
)


class Clock:
    """Wall and processor seconds since it was made; the second also means something on a busy machine."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.start[0], time.process_time() - self.start[1]


Seconds = tuple[float, float]


def by_runner(overrides: list[str]) -> tuple[Seconds, Any]:
    """Seconds that ``sciml train`` spends in fitting, and the weights at the end."""
    from lightning.pytorch import Trainer

    from sciml.cli.launch import launch

    fit, seen = Trainer.fit, []

    def timed(trainer: Trainer, module: Any, *args: Any, **kwargs: Any) -> None:
        clock = Clock()
        fit(trainer, module, *args, **kwargs)
        seen.append((clock.read(), {k: v.clone() for k, v in module.state_dict().items()}))

    Trainer.fit = timed
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            code = launch(overrides, force=True)
    finally:
        Trainer.fit = fit
    if code != 0 or len(seen) != 1:
        sys.exit(f"sciml train {' '.join(overrides)} ended with {code}")
    return seen[0]


def by_loop(overrides: list[str], steps: int) -> tuple[Seconds, Any]:
    """The same for a plain loop over the module's own losses and optimiser."""
    import lightning
    import torch
    from hydra import compose, initialize_config_module
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    with initialize_config_module("sciml.conf", version_base="1.3"):
        tree: Any = OmegaConf.to_container(compose("config", overrides), resolve=True)
    lightning.seed_everything(tree["seed"], workers=True, verbose=False)
    module = instantiate(tree[FAMILY], _convert_="all")
    torch.set_num_threads(tree["threads"])
    torch.use_deterministic_algorithms(tree["deterministic"], warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    configured = module.configure_optimizers()
    optimizer, scheduler = configured, None
    if isinstance(configured, dict):
        optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]
    clock = Clock()
    for _ in range(steps):
        optimizer.zero_grad()
        loss, _terms = module.losses()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return clock.read(), module.state_dict()


def seconds_to_first_step(code: str, arguments: list[str], folder: Path) -> float:
    """From here until the process reports its first optimiser step."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("FIRST "):
            return float(line.split()[1]) - start
    sys.exit(f"no first step was taken:\n{done.stdout}{done.stderr}")


def compare(first: Callable[[], Any], second: Callable[[], Any], pairs: int) -> tuple[list[Any], list[Any]]:
    """Both measured ``pairs`` times, in alternating order."""
    a: list[Any] = []
    b: list[Any] = []
    for i in range(pairs):
        for call, results in [(first, a), (second, b)][:: 1 if i % 2 == 0 else -1]:
            results.append(call())
    return a, b


def spread(values: list[float], unit: str, scale: float = 1.0) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{scale * middle:8.3f} {unit}  ({scale * low:.3f} to {scale * high:.3f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="daw2023r3/convection", help="an experiment of the pinn family")
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps of one measurement")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each")
    options = parser.parse_args()
    os.environ.setdefault("WANDB_SILENT", "true")

    with tempfile.TemporaryDirectory(prefix="sciml-overhead-") as name:
        folder = Path(name)
        overrides = [f"+experiment={options.experiment}", f"trainer.max_steps={options.steps}"]
        here = [*overrides, f"outputs={folder}/outputs"]

        (_, fitted), (_, looped) = by_runner(here), by_loop(overrides, options.steps)  # also warms up
        differing = [key for key, value in looped.items() if not value.equal(fitted[key])]
        if differing:
            sys.exit(f"the two do not take the same steps: {', '.join(differing)} differ")

        runner, loop = compare(lambda: by_runner(here)[0], lambda: by_loop(overrides, options.steps)[0], options.pairs)
        ratios, ratios_cpu = ([a[i] / b[i] - 1 for a, b in zip(runner, loop, strict=True)] for i in (0, 1))
        first_runner, first_bare = compare(
            lambda: seconds_to_first_step(RUNNER, ["train", *here, "--force"], folder),
            lambda: seconds_to_first_step(BARE, [], folder),
            options.pairs,
        )

    more = [a - b for a, b in zip(first_runner, first_bare, strict=True)]
    per_step = 1000 / options.steps
    print(f"\n{options.experiment}, {options.steps} steps, {options.pairs} alternating pairs: median (range)")
    print(f"  a step, sciml train      {spread([wall for wall, _ in runner], 'ms', per_step)}")
    print(f"  a step, plain loop       {spread([wall for wall, _ in loop], 'ms', per_step)}")
    print(f"  overhead                 {spread(ratios, '% ', 100)}  budget {100 * BUDGET_PER_STEP:.0f} %")
    print(f"  overhead, processor time {spread(ratios_cpu, '% ', 100)}")
    print(f"  first step, sciml train  {spread(first_runner, 's ')}")
    print(f"  first step, torch alone  {spread(first_bare, 's ')}")
    print(f"  difference               {spread(more, 's ')}  budget {BUDGET_FIRST:.0f} s")
    within = statistics.median(ratios) < BUDGET_PER_STEP and statistics.median(more) < BUDGET_FIRST
    print("  within budget" if within else "  OVER BUDGET")
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
