from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from modules import build, metrics, trainer

from sciml.errors import ConfigError
from sciml.kernel.fusing import fusing
from sciml.operator import module as operator_module
from sciml.operator.base import Augmentation, FieldMap, Fields
from sciml.operator.module import Operator


def small(*overrides: str) -> Operator:
    sizes = ("operator.log_every=5", "operator.val_every=10", "operator.dataset.n_train=50", "operator.batch_size=8")
    return build("+experiment=baseline/heat", *sizes, *overrides)  # type: ignore[return-value]


def test_the_baseline_experiment_reaches_rounding_error_also_on_a_finer_grid() -> None:
    module = build("+experiment=baseline/heat", "operator.dataset.n_train=64")
    fit = trainer(500)
    fit.fit(module)
    found = metrics(module)
    assert float(fit.callback_metrics["val/loss"]) < 1e-6
    for name in ("rel_l2", "rel_l2_fine"):
        assert found[name] < 1e-6
    for name in ("rel_l2_rollout", "rel_l2_last", "rel_l2_rollout_fine", "rel_l2_last_fine"):
        assert found[name] < 1e-4
    assert module.cost() == {"network_evaluations": 500 * 32}
    assert set(module.figures()) == {"error_of_examples", "error_by_step", "example"}


def test_an_augmentation_says_what_is_validated_and_tested() -> None:
    class Zero(Augmentation):
        numbers = 1

        def __call__(self, fields: Fields, uniform: torch.Tensor) -> Fields:
            return fields

        def averaged(self, start: Callable[[], FieldMap]) -> FieldMap:
            return torch.zeros_like

    module = small("operator/loss=rel_l2")
    module.augmentation = Zero()
    assert metrics(module)["rel_l2"] == pytest.approx(1.0)
    assert float(module.held_out_loss()) == pytest.approx(1.0)


def test_a_run_that_is_long_enough_fuses_parts_of_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """And learns what it would have: only what is computed with what differs."""
    learnt, fused = [], []
    network = ("network=transolver", "~network.modes", "network.dims=1", "network.width=8", "network.heads=2")
    for shortest in (6, 5):
        blocks = []

        def counted(found: list[None] = blocks) -> AbstractContextManager[object]:
            found.append(None)
            return fusing()

        monkeypatch.setattr(operator_module, "FUSED_STEPS", shortest)
        monkeypatch.setattr(operator_module, "fusing", counted)
        module = small(*network, "network.init=torch", "operator.positions=true")
        trainer(5).fit(module)
        learnt.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
        fused.append(len(blocks))
    assert fused == [0, 5]
    assert not torch.equal(*learnt)
    torch.testing.assert_close(*learnt, rtol=1e-3, atol=1e-4)


def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tmp_path: Path) -> None:
    drawing = (
        "operator/augmentation=shift",
        "operator.ema=0.9",
        "operator/scheduler=cosine",
        "~operator.scheduler.gamma",
    )
    everything = (*drawing, "trainer.max_steps=30")
    straight = small(*everything)
    trainer(30).fit(straight)
    first = trainer(15)  # in the middle of an epoch of six batches
    first.fit(small(*everything))
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = small(*everything)
    torch.manual_seed(123)
    second = trainer(30)
    second.fit(resumed, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert straight.cost() == resumed.cost()
    assert straight.average.state_dict().keys() == resumed.average.state_dict().keys() != set()
    for a, b in zip(straight.average.buffers(), resumed.average.buffers(), strict=True):
        assert torch.equal(a, b)
    assert metrics(straight) == metrics(resumed)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    runs = []
    for seed in (0, 0, 1):
        module = small()
        if seed:
            seed_everything(seed, verbose=False)
            module.draws["batches"].manual_seed(seed)
        trainer(5).fit(module)
        runs.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_normalisation_is_fitted_on_the_training_split_alone_and_saved() -> None:
    module = small()
    trainer(5).fit(module)
    splits = module.dataset.splits()
    std = splits["train"].input.double().std(correction=0)
    torch.testing.assert_close(module.stepper.input.std.double(), std[None], rtol=1e-6, atol=0)
    assert "stepper.output.mean" in module.state_dict()
    # Weights trained with these statistics give the same fields in a module that saw other data.
    other = small("operator.dataset.seed=5")
    other.load_state_dict(module.state_dict())
    other.setup("test")
    u = splits["test"].input
    assert torch.equal(other.stepper.predict(u), module.stepper.predict(u))


def test_the_loss_is_relative_on_physical_fields_and_seen_in_the_logs() -> None:
    module = small()
    fit = trainer(10)
    fit.fit(module)
    val = module.dataset.splits()["val"]
    with torch.no_grad():
        error = (module.stepper.predict(val.input) - val.target[:, 0]).flatten(1).norm(dim=1)
    expected = (error / val.target.flatten(1).norm(dim=1)).mean()
    torch.testing.assert_close(fit.callback_metrics["val/loss"], expected)
    assert {"train/loss", "val/loss"} <= set(fit.callback_metrics)


def test_a_step_minimises_the_relative_error_of_its_batch() -> None:
    module, twin = small(), small()
    module.setup("fit")
    twin.setup("fit")
    train = module.dataset.splits()["train"]
    for _ in range(3):
        index = twin.draws.batch()
        loss, terms = module.losses()
        error = (twin.stepper.predict(train.input[index]) - train.target[index, 0]).flatten(1).norm(dim=1)
        torch.testing.assert_close(loss, (error / train.target[index].flatten(1).norm(dim=1)).mean())
        assert terms == {}
    assert module.cost() == {"network_evaluations": 24}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["operator.val_every=12"], "val_every"),
        (["operator.network=null"], "network is null"),
        (["operator.optimizer=null"], "optimizer is null"),
    ],
)
def test_impossible_settings_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        small(*overrides)
    assert isinstance(caught.value.__cause__, ConfigError)


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 8; there are only 4"):
        trainer(5).fit(small("operator.dataset.n_train=4"))


def test_floor_and_ceiling() -> None:
    rows: dict[str, Any] = {
        name: metrics(build("+operator=baseline", f"operator/predictor={name}"))
        for name in ("mean", "persistence", "reference")
    }
    assert rows["mean"]["rel_l2"] == pytest.approx(1, abs=1e-3)  # the fields have no mean
    assert 0.1 < rows["persistence"]["rel_l2"] < rows["persistence"]["rel_l2_last"]
    exact = {name: value for name, value in rows["reference"].items() if not name.startswith("correlation_time")}
    assert max(exact.values()) < 1e-6
    assert rows["reference"]["correlation_time"] == pytest.approx(10 * 0.05)


def test_tests_use_the_average_weights_and_training_goes_on_with_its_own() -> None:
    module = small("operator.ema=0.99")
    trainer(10).fit(module)
    before = module.stepper.network.weight.detach().clone()
    found = metrics(module)
    assert torch.equal(module.stepper.network.weight, before)
    with torch.no_grad():
        module.stepper.network.weight.copy_(module.average.mean_0)
    module.average.decay = 0.0
    assert metrics(module) == found
