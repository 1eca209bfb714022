"""Modules as tests want them: composed and built, trained for some steps, tested; nothing is written."""

from __future__ import annotations

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

from sciml.config import family_of


def build(*overrides: str) -> LightningModule:
    """The module of a composed config, seeded with 0."""
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", list(overrides))
    seed_everything(0, verbose=False)
    return instantiate(config[family_of(config)], _convert_="all")


def trainer(max_steps: int = -1, *callbacks: Callback) -> Trainer:
    """On the CPU, without a word or a file."""
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        max_epochs=-1,
        max_steps=max_steps,
        callbacks=list(callbacks),
    )


def metrics(module: LightningModule) -> dict[str, float]:
    """What its test logs."""
    tester = trainer()
    tester.test(module, verbose=False)
    return {name: float(value) for name, value in tester.callback_metrics.items()}
