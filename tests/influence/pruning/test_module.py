from __future__ import annotations

from pathlib import Path

import pytest
import torch
from modules import build, metrics, trainer
from refusals import accepted

from sciml.errors import ConfigError
from sciml.influence.pruning.baseline import Baseline
from sciml.influence.pruning.module import Classifier, accuracy


def small(*overrides: str) -> Classifier:
    sizes = ("network.width=16", "influence.data.n_train=640", "influence.log_every=5", "influence.val_every=10")
    return build("+experiment=frantar2021mfac/pruning", *sizes, *overrides)  # type: ignore[return-value]


def test_a_trained_network_is_tested_and_pruned_and_stays_as_it_was() -> None:
    module = small("influence/pruner=magnitude", "influence.sparsities=[0.5,0.975]", "influence.recomputations=2")
    fit = trainer(60)
    fit.fit(module)
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(fit.callback_metrics)
    before = {name: p.clone() for name, p in module.state_dict().items()}
    found = metrics(module)
    assert found == metrics(module)
    assert all(torch.equal(p, before[name]) for name, p in module.state_dict().items())
    assert set(found) == {"accuracy", "loss", "accuracy_50", "sparsity_50", "accuracy_97.5", "sparsity_97.5"}
    assert found["accuracy"] > 0.7
    assert found["accuracy"] == pytest.approx(float(fit.callback_metrics["val/accuracy"]), abs=0.06)

    # The same by hand, on the network itself.
    weights = [p for p in module.network.parameters() if p.dim() > 1]
    d = sum(p.numel() for p in weights)
    keep = round(0.025 * d)
    assert found["sparsity_97.5"] == pytest.approx(1 - keep / d, abs=1e-6)
    threshold = torch.cat([p.detach().abs().flatten() for p in weights]).sort(descending=True)[0][keep - 1]
    with torch.no_grad():
        for p in weights:
            p.mul_(p.abs() >= threshold)
        test = module.examples("test")
        assert found["accuracy_97.5"] == pytest.approx(accuracy(module.network(test.x), test.y))
    assert module.figures().keys() == {"accuracy_against_sparsity"}
    assert module.cost() == {"pruning_gradients": 0}


def test_recomputation_collects_gradients_in_each_step() -> None:
    module = small("influence.recomputations=3", "influence.sparsities=[0.5,0.8]", "influence.pruner.gradients=5")
    module.setup("fit")
    found = metrics(module)
    assert module.cost() == {"pruning_gradients": 2 * 3 * 5}
    assert [len(curve) for curve in module._curves.values()] == [4, 4]
    assert [round(share, 2) for share, _ in module._curves[0.8]] == [0, 0.42, 0.66, 0.8]
    # A sparsity is the same run whether or not others are asked for.
    alone = small("influence.recomputations=3", "influence.sparsities=[0.8]", "influence.pruner.gradients=5")
    assert metrics(alone)["accuracy_80"] == found["accuracy_80"]


def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tmp_path: Path) -> None:
    choice = ("optimizer=mfac", "optimizer.lr=1e-3", "optimizer.window=16")
    straight = small(*choice)
    trainer(30).fit(straight)
    first = trainer(15)
    first.fit(small(*choice))
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = small(*choice)
    torch.manual_seed(123)
    trainer(30).fit(resumed, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_floor_and_ceiling() -> None:
    # mnist5k has as many of each digit in every part
    assert metrics(build("+experiment=frantar2021mfac/baseline"))["accuracy"] == pytest.approx(0.1)
    ceiling = build("+experiment=frantar2021mfac/baseline", "influence.predict=labels")
    assert metrics(ceiling)["accuracy"] == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["influence.val_every=12"], "val_every"),
        (["influence.optimizer=null"], "influence.optimizer is null"),
    ],
)
def test_impossible_settings_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        small(*overrides)
    assert isinstance(caught.value.__cause__, ConfigError)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Baseline, predict="mean") == {}
    assert accepted(Classifier, sparsities=[1.0], recomputations=0) == {}
