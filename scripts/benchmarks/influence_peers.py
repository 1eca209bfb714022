"""The same attribution by kronfluence and by curvlinops; runs in their environment, without sciml.

usage: influence_peers.py CONTENDER FOLDER: reads FOLDER/problem.pt, writes FOLDER/CONTENDER.pt, prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


class Clock:
    """Wall and processor seconds of named stages."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}
        self.last = time.perf_counter(), time.process_time()

    def restart(self) -> None:
        """Leave out what was before: imports."""
        self.last = time.perf_counter(), time.process_time()

    def stage(self, name: str) -> None:
        now = time.perf_counter(), time.process_time()
        self.stages[name] = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now

    def report(self) -> str:
        total = [sum(stage[i] for stage in self.stages.values()) for i in (0, 1)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return json.dumps({"wall": total[0], "cpu": total[1], "peak": peak, "stages": self.stages})


def network(problem: dict[str, Any]) -> nn.Sequential:
    sizes = problem["sizes"]
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).to(problem["x"].dtype)
    net.load_state_dict(problem["network"])
    return net.eval()


def kronfluence(problem: dict[str, Any], folder: Path, clock: Clock) -> dict[str, Any]:
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    clock.restart()

    class Classification(Task):
        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
            x, y = batch
            z = model(x)
            if sample:
                with torch.no_grad():
                    y = torch.multinomial(z.detach().softmax(-1), 1).flatten()
            return nn.functional.cross_entropy(z, y, reduction="sum")

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            x, y = batch
            return nn.functional.cross_entropy(model(x), y, reduction="sum")

    torch.manual_seed(0)
    task = Classification()
    model = prepare_model(network(problem), task)
    train, query = TensorDataset(problem["x"], problem["y"]), TensorDataset(problem["x_query"], problem["y_query"])
    with tempfile.TemporaryDirectory() as output:
        analyzer = Analyzer("benchmark", model, task, cpu=True, disable_tqdm=True, output_dir=output)
        clock.stage("set up")
        analyzer.fit_all_factors(
            "f",
            train,
            per_device_batch_size=128,
            factor_args=FactorArguments(strategy="ekfac"),
            overwrite_output_dir=True,
        )
        clock.stage("factors")
        analyzer.compute_pairwise_scores(
            "s",
            "f",
            query,
            train,
            per_device_query_batch_size=500,
            per_device_train_batch_size=128,
            score_args=ScoreArguments(damping_factor=None),
            overwrite_output_dir=True,
        )
        scores = analyzer.load_pairwise_scores("s")["all_modules"]
        clock.stage("scores")
        return {"scores": scores, "factors": analyzer.load_all_factors("f")}


def curvlinops(problem: dict[str, Any], folder: Path, clock: Clock) -> dict[str, Any]:
    from curvlinops import EKFACLinearOperator, FisherType, KFACInverseLinearOperator

    clock.restart()
    net = network(problem)
    params = list(net.parameters())
    train = DataLoader(TensorDataset(problem["x"], problem["y"]), batch_size=500)
    operator = EKFACLinearOperator(
        net,
        nn.CrossEntropyLoss(reduction="sum"),
        params,
        train,
        check_deterministic=False,
        fisher_type=FisherType.TYPE2,
        separate_weight_and_bias=False,
    )
    inverse = KFACInverseLinearOperator(operator, damping=problem["damping"], use_exact_damping=True)
    named = dict(net.named_parameters())
    clock.stage("set up")

    def loss(p: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(torch.func.functional_call(net, p, (x[None],)), y[None])

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def rows(x: Tensor, y: Tensor) -> Tensor:
        found = gradient({name: p.detach() for name, p in named.items()}, x, y)
        return torch.cat([found[name].flatten(1) for name in named], dim=1)

    query = rows(problem["x_query"], problem["y_query"])
    solved = inverse @ query.T
    clock.stage("factors")
    batches = zip(problem["x"].split(128), problem["y"].split(128), strict=True)
    scores = torch.cat([(rows(x, y) @ solved).T for x, y in batches], dim=1)
    clock.stage("scores")
    return {"scores": scores}


def parity(problem: dict[str, Any], folder: Path, clock: Clock) -> dict[str, Any]:
    """Matrices of a small network in float64: GGN, KFAC and EK-FAC, exact curvature."""
    import curvlinops as library

    net = network(problem)
    params = list(net.parameters())
    data = DataLoader(TensorDataset(problem["x"], problem["y"]), batch_size=7)
    sums = nn.CrossEntropyLoss(reduction="sum")
    eye = torch.eye(sum(p.numel() for p in params), dtype=torch.float64)
    kind = {"fisher_type": library.FisherType.TYPE2, "separate_weight_and_bias": False}
    operators = {
        "ggn": library.GGNLinearOperator(net, sums, params, data),
        "kfac": library.KFACLinearOperator(net, sums, params, data, **kind),
        "ekfac": library.EKFACLinearOperator(net, sums, params, data, **kind),
    }
    found = {name: operator @ eye for name, operator in operators.items()}
    clock.stage("matrices")
    return found


if __name__ == "__main__":
    contender, where = sys.argv[1], Path(sys.argv[2])
    given = torch.load(where / ("small.pt" if contender == "parity" else "problem.pt"), weights_only=True)
    watch = Clock()
    result = {"kronfluence": kronfluence, "curvlinops": curvlinops, "parity": parity}[contender](given, where, watch)
    print(watch.report(), flush=True)
    torch.save(result, where / f"{contender}.pt")
