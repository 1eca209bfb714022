"""A config folder from elsewhere runs no code of its own choice, whatever it says and wherever it says it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HEAD = """# @package _global_
defaults:
  - /pinn: default
  - override /pinn/problem: convection
  - override /network: mlp
  - override /optimizer: adam
"""
TRUSTED = "sciml.*, torch.optim.*, torch.nn.*, lightning.pytorch.*"
UNTRUSTED = f"is not trusted; allowed are {TRUSTED} (trust a package of your own with --trust PACKAGE)"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a planted function would create; ``evil.touch(path)`` can be imported."""
    (tmp_path / "evil.py").write_text(
        "import logging, os\n"
        "def touch(path='', *args, **kwargs):\n    open(path or os.environ['EVIL'], 'w').close()\n"
        "class Handler(logging.StreamHandler):\n    def __init__(self, **kwargs):\n        touch()\n"
    )
    monkeypatch.setenv("EVIL", str(tmp_path / "touched"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    importlib.invalidate_caches()
    yield tmp_path / "touched"
    assert not (tmp_path / "touched").exists()
    sys.modules.pop("evil", None)


def test_target_anywhere(evil: Path, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    text = """
trainer: {callbacks: [[EVIL]]}
network: {activation: EVIL}
optimizer: {_target_: builtins.exec}
paper: {title: EVIL}
pinn:
  weighting: {weights: {a: {b: [EVIL]}}}
  scheduler: '${oc.create:EVIL}'
  log_every: '${oc.decode:"EVIL"}'
  val_every: ${paper.title}
  n_val: ${x}
x: EVIL
"""
    text = text.replace("EVIL", "{_target_: evil.touch, path: PLACE}").replace("PLACE", str(evil))
    folder = mine(experiment__a__b=HEAD + text)
    said = {line.strip() for line in refused("--config-dir", folder, "+experiment=a/b").splitlines()}
    here = f"(from {folder}/experiment/a/b.yaml)"
    places = (
        "trainer.callbacks.0.0", "network.activation", "paper.title", "pinn.weighting.weights.a.b.0",
        "pinn.scheduler", "pinn.log_every", "x",
    )  # fmt: skip
    assert {f"{place}: _target_ evil.touch {UNTRUSTED} {here}" for place in places} <= said
    assert f"optimizer: _target_ builtins.exec {UNTRUSTED} {here}" in said


def test_hydras_own_node(evil: Path, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    text = """
hydra:
  launcher: {_target_: evil.touch}
  sweeper: {_target_: evil.touch}
  callbacks:
    direct: {_target_: evil.touch}
    list: {_target_: hydra.experimental.callbacks.LogJobReturnCallback, a: [EVIL]}
    node: ${x.a}
    name: {_target_: '${paper.title}'}
    made: '${oc.create:EVIL}'
    call: {_target_: hydra.utils.call, config: {a: 1}}
    imported: {_target_: hydra._internal.core_plugins.bash_completion.os.system, command: x}
  job_logging:
    version: 1
    formatters: {f: {class: evil.Handler}}
    handlers:
      factory: {(): evil.touch}
      class: {class: evil.Handler}
      imported: {class: logging.os.system}
      stream: {class: logging.StreamHandler, stream: ext://evil.touch}
      good: {class: logging.StreamHandler, stream: ext://sys.stdout}
  hydra_logging: ${x.log}
x: {a: EVIL, log: {version: 1, handlers: {h: {class: evil.Handler}}}}
paper: {title: evil.touch}
"""
    text = text.replace("EVIL", "{_target_: evil.touch, path: PLACE}").replace("PLACE", str(evil))
    folder = mine(experiment__a__b=HEAD + text)
    said = refused("--config-dir", folder, "+experiment=a/b").splitlines()
    advice = "is not trusted (trust a package of your own with --trust PACKAGE)"
    assert sorted(line.strip() for line in said) == sorted(
        f"hydra.{key} {advice}"
        for key in (
            "launcher._target_: evil.touch",
            "sweeper._target_: evil.touch",
            "callbacks.direct._target_: evil.touch",
            "callbacks.list.a[0]._target_: evil.touch",
            "callbacks.node._target_: evil.touch",
            "callbacks.name._target_: evil.touch",
            "callbacks.made._target_: evil.touch",
            "callbacks.call._target_: hydra.utils.call",
            "callbacks.imported._target_: hydra._internal.core_plugins.bash_completion.os.system",
            "job_logging.formatters.f.class: evil.Handler",
            "job_logging.handlers.factory.(): a factory of log handlers",
            "job_logging.handlers.imported.class: logging.os.system",
            "job_logging.handlers.class.class: evil.Handler",
            "job_logging.handlers.stream.stream: ext://evil.touch",
            "hydra_logging.handlers.h.class: evil.Handler",
        )
    )


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("callbacks: '${x}'", "hydra.callbacks.a._target_: evil.touch is not trusted"),
        ("launcher: {command: x}", "Key 'command' not in 'BasicLauncherConf'"),
    ],
)
def test_hydras_own_node_as_a_whole(
    node: str, message: str, evil: Path, refused: Callable[..., str], mine: Callable[..., str]
) -> None:
    text = f"{HEAD}hydra: {{{node}}}\nx: {{a: {{_target_: evil.touch, path: {evil}}}}}\n"
    assert message in refused("--config-dir", mine(experiment__a__b=text), "+experiment=a/b")


def test_search_path_is_foreign_too(evil: Path, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__b=f"{HEAD}hydra: {{callbacks: {{a: {{_target_: evil.touch, path: {evil}}}}}}}")
    said = refused(f"hydra.searchpath=[file://{folder}]", "+experiment=a/b")
    assert "hydra.callbacks.a._target_: evil.touch is not trusted" in said


def test_every_job_of_a_sweep_is_looked_at(evil: Path, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    touch = f"hydra: {{callbacks: {{a: {{_target_: evil.touch, path: {evil}}}}}}}"
    folder = mine(experiment__a__b=HEAD, experiment__a__c=HEAD + touch)
    said = refused("-m", "-c", folder, "+experiment=a/b,a/c")
    assert "hydra.callbacks.a._target_: evil.touch is not trusted" in said


def test_what_the_user_trusts_is_built(train: Callable[..., object], mine: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "here" / "own_callbacks.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Say(Callback):\n    def on_job_start(self, **kwargs):\n        print('said')\n"
    )
    text = HEAD + "hydra: {callbacks: {a: {_target_: own_callbacks.Say}}}\nseed: one"
    folder = mine(experiment__a__b=text)
    ended = train("-c", folder, "+experiment=a/b", "--trust", "own_callbacks")
    assert ended.out == "said\n"
    assert "bad value for seed" in ended.err
