"""Deepinv 0.5.0's DPS and PiGDM on the problems of posterior.py: ``posterior_peers.py METHOD STEPS WEIGHT FOLDER``.

Runs in an environment of its own; of sciml only the prior is used, which is the denoiser, as for everybody. Reads
FOLDER/problem.pt, writes FOLDER/peer.pt and prints a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

warnings.simplefilter("ignore")


class NoTorchvision(MetaPathFinder, Loader):
    """A placeholder for what deepinv imports of torchvision at its top and does not need here.

    Its wheels for a GPU cannot be imported beside a torch for the CPU, and break other packages by being there.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: MagicMock(name=f"{spec.name}.{name}")  # pyright: ignore[reportAttributeAccessIssue]
        return module

    def exec_module(self, module: ModuleType) -> None:
        return


class Denoiser(nn.Module):
    """The exact denoiser in deepinv's layout; deepinv hands over float32 whatever is asked of it."""

    def __init__(self, prior: Any) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: Any, *args: Any, **kwargs: Any) -> Tensor:
        level = float(torch.as_tensor(sigma).flatten()[0])
        found = self.prior.posterior(x.double().movedim(1, -1), level).mean
        return found.movedim(-1, 1).to(x.dtype)


def main() -> None:
    method, steps, weight, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    sys.meta_path.insert(0, NoTorchvision())
    import deepinv  # pyright: ignore[reportMissingImports]
    from deepinv import sampling  # pyright: ignore[reportMissingImports]

    from sciml.diffusion.prior.source_solution import SourceSolution

    problem = torch.load(folder / "problem.pt", weights_only=True)
    prior = SourceSolution(**problem["prior"])
    denoiser = Denoiser(prior)
    y, mask = (problem[name].movedim(-1, 1) for name in ("seen", "mask"))
    prior.posterior(problem["seen"][:1], 1.0)  # its eigenvectors are made once, and not timed for anybody
    physics = deepinv.physics.Inpainting(
        img_size=tuple(mask.shape[1:]), mask=mask, noise_model=deepinv.physics.GaussianNoise(problem["noise_std"])
    )
    fidelity = {
        "dps": lambda: sampling.DPSDataFidelity(denoiser=denoiser, weight=weight),
        "pigdm": lambda: sampling.PiGDMDataFidelity(denoiser=denoiser, weight=weight),
    }[method]()
    sde = sampling.VariancePreservingDiffusion(alpha=1.0, dtype=torch.float64)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    model = sampling.PosteriorDiffusion(
        data_fidelity=fidelity,
        denoiser=denoiser,
        sde=sde,
        solver=sampling.DDPMSolver(timesteps=times, rng=torch.Generator().manual_seed(0)),
        minus_one_one=False,
    )
    before = prior.evaluations
    start = time.process_time()
    with torch.no_grad():
        x = model(y, physics, x_init=tuple(y.shape), seed=0)
    seconds = time.process_time() - start
    backwards = prior.evaluations - before  # both methods differentiate every evaluation
    torch.save({"x": x.movedim(1, -1).double()}, folder / "peer.pt")
    print(json.dumps({"seconds": seconds, "evaluations": prior.evaluations - before, "backwards": backwards}))


if __name__ == "__main__":
    main()
