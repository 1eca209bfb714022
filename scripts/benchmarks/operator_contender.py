"""One contender of the operator benchmark: ``operator_contender.py NAME POINTS BATCH WIDTH MODES DEVICE FOLDER``.

``eager`` and ``compiled`` are this project's FNO, in a process that keeps freed memory as every run here does;
``neuraloperator`` is the peer's with its own AdamW, ``torch-adamw`` with torch's, ``kept-memory`` with torch's and
freed memory kept as well. Its weights and one prediction come from the eager contender through FOLDER. ``modes`` is
meant as neuraloperator does.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from pinn_turns import Turns
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[2]))  # the peer's environment has none of this project
from sciml.allocator import keep_freed

warnings.simplefilter("ignore")


def fields(points: int, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Inputs with positions, and targets: the same for everybody, channels last."""
    generator = torch.Generator().manual_seed(0)
    a, u = torch.randn(2, batch, points, points, 1, generator=generator)
    x = torch.arange(points) / points
    positions = torch.stack(torch.meshgrid(x, x, indexing="ij"), dim=-1).expand(batch, -1, -1, -1)
    return torch.cat([a, positions], dim=-1).to(device), u.to(device)


def relative_l2(prediction: Tensor, target: Tensor) -> Tensor:
    difference = (prediction - target).flatten(1).norm(dim=1)
    return (difference / target.flatten(1).norm(dim=1)).mean()


def own(width: int, modes: int, compiled: bool, device: str, folder: Path, u: Tensor) -> tuple[nn.Module, Any]:
    from sciml.network.fno import FNO
    from sciml.network.neuraloperator import to_neuraloperator

    network = FNO(
        3,
        1,
        modes=[modes // 2, modes // 2 + 1],
        width=width,
        lifting=2 * width,
        projection=2 * width,
        mlp=width // 2,
    ).to(device)
    if not compiled:
        with torch.no_grad():
            torch.save({"state": to_neuraloperator(network), "prediction": network(u)}, folder / "own.pt")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    return torch.compile(network) if compiled else network, optimizer  # pyright: ignore[reportReturnType]


def peer(width: int, modes: int, torch_adam: bool, device: str) -> tuple[nn.Module, Any]:
    from neuralop.models import FNO  # pyright: ignore[reportMissingImports]
    from neuralop.training import AdamW  # pyright: ignore[reportMissingImports]

    network = FNO(
        n_modes=(modes, modes), in_channels=3, out_channels=1, hidden_channels=width, positional_embedding=None
    ).to(device)
    optimizer = torch.optim.AdamW if torch_adam else AdamW
    return network, optimizer(network.parameters(), lr=1e-3)


def bandwidth(points: int, batch: int, width: int, modes: int) -> dict[str, float]:
    """Of a GPU: bytes that a spectral layer must read and write, by its time, and what a plain copy reaches."""
    from sciml.network.spectral import Spectral

    layer = Spectral(width, width, [modes // 2, modes // 2 + 1]).cuda()
    x = torch.randn(points, points, batch, width, device="cuda")
    spectrum = layer.real[..., 0].numel() // width * 2 * batch * width
    weights = layer.real.numel() + layer.imag.numel()
    moved = 4 * (2 * x.numel() + weights + 2 * 2 * spectrum)
    big = torch.empty(1 << 28, device="cuda")
    other = torch.empty_like(big)
    with torch.no_grad():
        return {
            "spectral": moved / _seconds(lambda: layer(x)),
            "copy": 8 * big.numel() / _seconds(lambda: other.copy_(big)),
        }


def _seconds(f: Any, times: int = 50) -> float:
    for _ in range(5):
        f()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        f()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def main() -> None:
    name, device, folder = sys.argv[1], sys.argv[6], Path(sys.argv[7])
    points, batch, width, modes = map(int, sys.argv[2:6])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    turns = Turns()
    if name in ("eager", "compiled", "kept-memory"):
        keep_freed()
    extra: dict[str, Any] = {}
    u, target = fields(points, batch, device)
    if name in ("eager", "compiled"):
        network, optimizer = own(width, modes, name == "compiled", device, folder, u)
        if device == "cuda" and name == "eager":
            extra["bandwidth"] = bandwidth(points, batch, width, modes)
    else:
        network, optimizer = peer(width, modes, name != "neuraloperator", device)
        u, target = u.movedim(-1, 1).contiguous(), target.movedim(-1, 1).contiguous()
        saved = torch.load(folder / "own.pt", weights_only=True)
        network.load_state_dict(saved["state"], strict=False)
        with torch.no_grad():
            ours, theirs = saved["prediction"], network(u).movedim(1, -1)
            extra["difference"] = float((theirs - ours).norm() / ours.norm())
    extra["parameters"] = sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        relative_l2(network(u), target).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        extra["peak_gpu"] = torch.cuda.max_memory_allocated() / 2**20
    turns.say(ready=True, **extra)
    while True:
        turns.measure(turns.next(), step)


if __name__ == "__main__":
    main()
