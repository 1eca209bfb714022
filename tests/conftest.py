"""What holds for every test: one thread, no network, no traces outside the test's own folders."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

# Before torch is imported: it reads these once.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

# A shell that starts the suite in the background has it ignore SIGINT, and so would all that a test starts and
# interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def unmeasured() -> Iterator[None]:
    """Coverage stands still. It has a floor for the runner, and makes Python twice as slow."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        threading.settrace(of_threads)  # type: ignore[arg-type]
        sys.settrace(tracer)
        _call()


def _call() -> None:
    """At the first call coverage takes over in C; only from there on it hears of a return."""


def measured(item: pytest.Item) -> bool:
    """Whether a test is one of the runner's; those of the methods go without coverage."""
    return item.path.parent in (HERE, HERE / "cli") and item.path.name != "test_experiments.py"


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What is made here lives until the end: nobody need search it for garbage, now or later."""
    gc.disable()
    try:
        if sys.gettrace() and session.config.getoption("dist", "no") == "no":  # not where workers collect
            _measure()
        with unmeasured():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _measure() -> None:
    """Import the runner, so that the lines of its modules count; what it stands on is not measured."""
    with unmeasured():
        importlib.import_module("lightning.pytorch")
        loader = importlib.import_module("hydra._internal.config_loader_impl").ConfigLoaderImpl
    for name in ("load_configuration", "compute_defaults_list"):
        setattr(loader, name, _unmeasured(getattr(loader, name)))
    for name in ("checkpoint", "config", "folder", "run", "table", "track"):
        importlib.import_module(f"sciml.{name}")
    for module in pkgutil.iter_modules(importlib.import_module("sciml.cli").__path__, "sciml.cli."):
        if module.name != "sciml.cli.__main__":
            importlib.import_module(module.name)


def _unmeasured(work: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with unmeasured():
            return work(*args, **kwargs)

    return call


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run the tests of the methods, and what is set up for them, without coverage."""
    with nullcontext() if measured(item) else unmeasured():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the cluster: its tests wait, and while they do another worker has both cores."""
    items.sort(key=lambda item: HERE / "slurm" not in item.path.parents)


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
