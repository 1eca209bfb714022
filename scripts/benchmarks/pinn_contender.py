"""One contender of the step benchmark: ``pinn_contender.py NAME CASE POINTS DTYPE``; see pinn_turns.py."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import torch
from pinn_turns import DOMAINS, NU, WAVES, Counted, Turns, mlp, nested, points

warnings.simplefilter("ignore")


def deepxde(case: str, n: int, dtype: torch.dtype, turns: Turns) -> None:
    """DeepXDE with its PyTorch backend: the body of its training loop, without callbacks, tests and printing."""
    import deepxde as dde
    import numpy as np

    dde.config.set_default_float("float64" if dtype == torch.float64 else "float32")
    along, twice = dde.grad.jacobian, dde.grad.hessian

    def residual(x: Any, u: Any) -> Any:
        if case == "burgers":
            return along(u, x, i=0, j=0) + u * along(u, x, i=0, j=1) - NU * twice(u, x, i=1, j=1)
        if case == "kdv":
            u_xx = twice(u, x, i=1, j=1)
            return along(u, x, i=0, j=0) + u * along(u, x, i=0, j=1) + 0.022**2 * along(u_xx, x, i=0, j=1)
        lap = twice(u, x, i=0, j=0) + twice(u, x, i=1, j=1)
        if case == "helmholtz":
            a, b = WAVES
            factor = 1 - (a * math.pi) ** 2 - (b * math.pi) ** 2
            return lap + u - factor * torch.sin(a * math.pi * x[:, :1]) * torch.sin(b * math.pi * x[:, 1:])
        both = twice(lap, x, i=0, j=0) + twice(lap, x, i=1, j=1)
        return both - 4 * math.pi**4 * torch.sin(math.pi * x[:, :1]) * torch.sin(math.pi * x[:, 1:])

    lower, upper = DOMAINS[case]
    x = points(case, n, dtype).numpy()
    data = dde.data.PDE(dde.geometry.Rectangle(lower, upper), residual, [], num_domain=0, anchors=x)
    network = dde.nn.FNN([2, 50, 50, 50, 50, 1], "tanh", "Glorot normal")
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3, verbose=0)
    assert np.asarray(data.train_x_all).shape == (n, 2)

    def step() -> None:
        state = model.train_state
        state.set_data_train(*model.data.train_next_batch(None))
        model._train_step(state.X_train, state.y_train, state.train_aux_vars)

    for _ in range(3):
        step()
    turns.take(step)


def pina(case: str, n: int, dtype: torch.dtype, turns: Turns) -> None:
    """PINA: its PINN solver in its Trainer, one batch an epoch; the fast operators, which check nothing."""
    from lightning.pytorch import Callback
    from pina import Condition, LabelTensor, Trainer
    from pina.domain import CartesianDomain
    from pina.equation import Equation
    from pina.operator import fast_grad, fast_laplacian
    from pina.optim import TorchOptimizer
    from pina.problem import SpatialProblem
    from pina.solver import PINN

    torch.set_default_dtype(dtype)
    first, second = ("t", "x") if case in ("burgers", "kdv") else ("x", "y")

    def residual(p: Any, out: Any) -> Any:
        if case in ("burgers", "kdv"):
            u = out.extract(["u"])
            g = fast_grad(out, p, components=["u"], d=["t", "x"])
            u_t, u_x = g.extract(["dudt"]), g.extract(["dudx"])
            u_xx = fast_grad(u_x, p, components=["dudx"], d=["x"])
            if case == "burgers":
                return u_t + u * u_x - NU * u_xx
            u_xx.labels = ["d2u"]
            return u_t + u * u_x + 0.022**2 * fast_grad(u_xx, p, components=["d2u"], d=["x"])
        lap = fast_laplacian(out, p, components=["u"], d=["x", "y"])
        x, y = p.extract(["x"]), p.extract(["y"])
        if case == "helmholtz":
            a, b = WAVES
            factor = 1 - (a * math.pi) ** 2 - (b * math.pi) ** 2
            return lap + out.extract(["u"]) - factor * torch.sin(a * math.pi * x) * torch.sin(b * math.pi * y)
        lap.labels = ["lap"]
        both = fast_laplacian(lap, p, components=["lap"], d=["x", "y"])
        return both - 4 * math.pi**4 * torch.sin(math.pi * x) * torch.sin(math.pi * y)

    lower, upper = DOMAINS[case]
    box = CartesianDomain({first: [lower[0], upper[0]], second: [lower[1], upper[1]]})
    x = LabelTensor(points(case, n, dtype), [first, second])

    class Case(SpatialProblem):
        output_variables = ["u"]
        spatial_domain = box
        conditions = {"D": Condition(input=x, equation=Equation(residual))}

    class Turn(Callback):
        def __init__(self) -> None:
            self.counted = Counted(turns, warm=3)

        def on_train_batch_start(self, *args: Any) -> None:
            self.counted.before()

        def on_train_batch_end(self, *args: Any) -> None:
            self.counted.after()

    solver = PINN(Case(), mlp(50, 4, dtype), optimizer=TorchOptimizer(torch.optim.Adam, lr=1e-3))
    Trainer(
        solver,
        max_epochs=10**6,
        accelerator="cpu",
        precision="64-true" if dtype == torch.float64 else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Turn()],
    ).train()


def main() -> None:
    name, case, n, dtype = sys.argv[1], sys.argv[2], int(sys.argv[3]), getattr(torch, sys.argv[4])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    turns = Turns()
    if name in ("compiled", "eager"):
        from pinn_own import own

        own(case, n, dtype, turns, "always" if name == "compiled" else "never")
    else:
        {"nested": nested, "deepxde": deepxde, "pina": pina}[name](case, n, dtype, turns)


if __name__ == "__main__":
    main()
