"""The chunked inner loop takes the same steps as a plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from modules import trainer
from torch import Tensor

from sciml.errors import Diverged
from sciml.loop import Endless, run_steps


class Quadratic(LightningModule):
    """Minimises |w - 1|^2 by SGD with a schedule; remembers the chunk boundaries."""

    def __init__(self, every: int, bad: dict[int, str] | None = None, stop_at: int | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.w = torch.nn.Parameter(torch.zeros(3))
        self.every, self.bad, self.stop_at = every, bad or {}, stop_at
        self.ends: list[int] = []
        self.taken = 0

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        self.taken += 1
        if self.taken == self.stop_at:
            self.trainer.should_stop = True
        terms = {"a": (self.w[0] - 1) ** 2, "b": ((self.w[1:] - 1) ** 2).sum()}
        if (name := self.bad.get(self.taken)) is not None:
            terms[name] = terms[name] / 0.0
        return terms["a"] + terms["b"], terms

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.logged = run_steps(self, self.losses, every=self.every)
        self.ends.append(self.global_step)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)}

    def train_dataloader(self) -> Endless:
        return Endless()


def fit(module: Quadratic, steps: int) -> Quadratic:
    trainer(steps).fit(module)
    return module


def test_same_weights_as_a_plain_loop() -> None:
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([w], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    for _ in range(13):
        optimizer.zero_grad()
        loss = ((w - 1) ** 2).sum()
        loss.backward()
        optimizer.step()
        schedule.step()
    module = fit(Quadratic(every=5), 13)
    assert torch.equal(module.w, w)
    assert module.ends == [5, 10, 13]
    assert module.logged["train/loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    assert module.logged["train/loss"] == pytest.approx(module.logged["train/a"] + module.logged["train/b"])


def test_stop_request_ends_the_chunk_after_the_step_in_progress() -> None:
    module = fit(Quadratic(every=10, stop_at=3), 30)
    assert module.ends == [3]


@pytest.mark.parametrize(
    ("bad", "name", "step"), [({7: "b"}, "b", 7), ({4: "a", 5: "b"}, "a", 4), ({10: "b"}, "b", 10)]
)
def test_first_bad_term_is_named_with_its_step(bad: dict[int, str], name: str, step: int) -> None:
    with pytest.raises(Diverged, match=rf"loss term '{name}' became inf at step {step}") as caught:
        fit(Quadratic(every=5, bad=bad), 30)
    assert (caught.value.term, caught.value.step, caught.value.value) == (name, step, float("inf"))
