"""The configs of random sources and solutions: the equation that they are called after, once they are scaled back."""

from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from sciml.diffusion.base import Dataset

POINTS = 12


@pytest.mark.parametrize(("name", "k", "scale"), [("poisson", 0, (0.292, 0.00418)), ("helmholtz", 1, (0.284, 0.00428))])
def test_the_fields_solve_the_equation(name: str, k: int, scale: tuple[float, float]) -> None:
    small = [f"+diffusion/dataset={name}", f"diffusion.dataset.prior.shape=[{POINTS},{POINTS},2]"]
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", [*small, *(f"diffusion.dataset.n_{part}=50" for part in ("train", "val", "test"))])
    dataset: Dataset = instantiate(config.diffusion.dataset, _convert_="all")
    splits = dataset.splits()
    f, u = (splits["train"].double() * torch.tensor(scale)).unbind(-1)
    h = 1 / (POINTS - 1)
    inner = u[:, 1:-1, 1:-1]
    around = u[:, 2:, 1:-1] + u[:, :-2, 1:-1] + u[:, 1:-1, 2:] + u[:, 1:-1, :-2]
    torch.testing.assert_close((around - 4 * inner) / h**2 + k**2 * inner, f[:, 1:-1, 1:-1], rtol=0, atol=1e-4)
    assert bool(f[:, 0].any()) == (k == 0), "sources of Helmholtz' equation vanish at the boundary"
    assert not any(torch.equal(splits["train"], splits[part]) for part in ("val", "test"))
