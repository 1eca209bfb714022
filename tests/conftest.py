"""What holds for every test: one thread, no network, no traces outside the test's own folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Before torch is imported: it reads these once.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the cluster: its tests wait, and while they do another worker has both cores.

    Coverage, which has a floor for the runner, doubles what a test takes: those of the methods go without.
    """
    items.sort(key=lambda item: HERE / "slurm" not in item.path.parents)
    for item in items:
        if item.path.parent not in (HERE, HERE / "cli") or item.path.name == "test_experiments.py":
            item.add_marker("no_cover")


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shields tests, and the processes that they start, from the settings of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("WANDB_", "SLURM_", "HYDRA_", "SCIML_")):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("wandb")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(home))
        yield


@pytest.fixture(autouse=True)
def _torch_defaults() -> Iterator[None]:
    """A test that changes torch's defaults does so for itself only."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
