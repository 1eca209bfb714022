"""The check of a config against the constructors that it names; the identity of a run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import tree

from sciml.config import check, did_you_mean, digest, family_of, suggest, target
from sciml.errors import ConfigError

TOY = ("toy_package",)


def refusal(config: dict[str, Any], raw: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
    """The lines with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        check(config, raw, trust=TOY, **kwargs)
    return str(caught.value).splitlines()


def test_a_whole_config_passes(tmp_path: Path) -> None:
    config = tree(tmp_path)
    assert check(config, None, trust=TOY) == "pinn"
    raw = {**config, "pinn": {**config["pinn"], "network": "${network}", "optimizer": "${optimizer}"}}
    assert check(config, raw, trust=TOY) == "pinn"
    assert check(tree(tmp_path, checkpoint={"every_seconds": 0.5}), None, trust=TOY) == "pinn"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2**32}, "bad value for seed: 4294967296 is not a whole number of at least 0 and at most 4294967295"),
        ({"seed": True}, "bad value for seed: True is not a whole number of at least 0"),
        ({"threads": 0}, "bad value for threads: 0 is not a whole number of at least 1 and at most 4096"),
        ({"outputs": None}, "bad value for outputs: None is not text"),
        ({"checkpoint": {"every_seconds": "1"}}, "bad value for checkpoint.every_seconds: '1' is not a number"),
        ({"track": {"mode": 3}}, "bad value for track.mode: 3 is not one of offline, online, disabled"),
        ({"track": {"mdoe": 3}}, "there is no setting track.mdoe; did you mean track.mode?"),
        ({"paper": 3}, "paper must be a group of settings (title, authors, year, venue, url, code), not 3"),
        ({"trainer": {"max_step": 3}}, "there is no setting trainer.max_step; did you mean trainer.max_steps"),
        ({"trainer": {"max_epochs": 3}}, "trainer.max_epochs is set by the runner and cannot be changed"),
        ({"trainer": {"logger": False}}, "trainer.logger is set by the runner and cannot be changed"),
        ({"nan_att": 3}, "there is no setting pinn.nan_att; did you mean pinn.nan_at?"),
        ({"nap": "long"}, "bad value for pinn.nap: 'long' is not a number"),
        ({"nan_at": 1.5}, "bad value for pinn.nan_at: 1.5 is not a whole number or null"),
        ({"network": 3}, "bad value for pinn.network: 3 is not a node with a _target_"),
        ({"_args_": [1]}, "pinn._args_ is not allowed: give each parameter by its name"),
        ({"_recursive_": False}, "pinn._recursive_ is not allowed: give each parameter by its name"),
        ({"_convert_": "none"}, "pinn._convert_ is not allowed: give each parameter by its name"),
        ({"_partial_": 1}, "bad value for pinn._partial_: 1 is not true or false"),
        ({3: 4}, "pinn has the key 3, which must be text: put it in quotes"),
    ],
)
def test_settings(tmp_path: Path, changes: dict[Any, Any], message: str) -> None:
    config = tree(tmp_path)
    for key, value in changes.items():
        if key == "network" or key not in config:
            config["pinn"][key] = value
        elif isinstance(value, dict):
            config[key] = {**config[key], **value}
        else:
            config[key] = value
    assert any(line.startswith(message) for line in refusal(config))


def test_what_is_missing(tmp_path: Path) -> None:
    config = tree(tmp_path)
    for key in ("seed", "trainer", "checkpoint"):
        del config[key]
    del config["track"]["mode"], config["pinn"]["optimizer"]
    assert set(refusal(config)) == {
        "seed is missing: every run needs it",
        "trainer is missing: every run needs it",
        "checkpoint is missing: every run needs it",
        "track.mode is missing: every run needs it",
        "pinn.optimizer is missing: Toy needs it",
    }


def test_slots_that_nothing_reads(tmp_path: Path) -> None:
    config = tree(tmp_path)
    assert refusal(config, config) == [
        "nothing in this config reads network; remove it",
        "nothing in this config reads optimizer; remove it",
    ]
    config["network"] = None
    raw = {**config, "pinn": {**config["pinn"], "optimizer": "${optimizer}"}}
    assert "network names no class: its _target_ is missing" in refusal(config, raw)


def test_each_line_names_its_file_once(tmp_path: Path) -> None:
    config = tree(tmp_path, breek_at=1, threads=0)
    files = {"threads": "a.yaml", "pinn.breek_at": "b.yaml"}
    assert refusal(config, origin=files.get) == [
        "bad value for threads: 0 is not a whole number of at least 1 and at most 4096 (from a.yaml)",
        "there is no setting pinn.breek_at; did you mean pinn.break_at? (from b.yaml)",
    ]


def test_families(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no experiment is chosen: add \+experiment="):
        family_of({})
    with pytest.raises(ConfigError, match="a run has one family, this config has 2: pinn, diffusion"):
        family_of({"diffusion": {}, "pinn": {}})
    assert refusal({**tree(tmp_path), "experiment": {"a": 1}})[0].startswith(
        "an experiment's file holds settings below"
    )
    assert refusal({**tree(tmp_path), "pinn": {"a": 1}}) == ["pinn names no class: its _target_ is missing"]


def test_what_a_resolver_makes_is_judged(tmp_path: Path) -> None:
    """A reference is judged where it leads; a resolver's value stands nowhere else."""
    config = tree(tmp_path, nap={"_target_": "os.system"})
    for text in ("${oc.create:{a: 1}}", "${oc.env:A}", "${a}${b}", "no reference"):
        raw = {**config, "pinn": {**config["pinn"], "nap": text, "network": "${network}", "optimizer": "${optimizer}"}}
        assert "pinn.nap: _target_ os.system is not trusted" in refusal(config, raw)[0]


RUNNER = "is part of the runner, not something a config can build"
ELSEWHERE = "is not a class or function defined in a trusted package"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "os.system",
            r"is not trusted; allowed are sciml\.\*, torch\.optim\.\*, torch\.nn\.\*, ",
        ),
        ("scimlx.pinn.module.Pinn", "is not trusted"),
        ("torch.hub.load", "is not trusted"),
        ("", "must be the dotted name of a class, not ''"),
        (None, "must be the dotted name of a class, not None"),
        (["a"], r"must be the dotted name of a class, not \['a'\]"),
        ("sciml.pinn module.Pinn", "must be the dotted name of a class"),
        ("sciml.run", RUNNER),
        ("sciml.run.execute", RUNNER),
        ("sciml.run.subprocess.Popen", "there is no module sciml.run.subprocess"),
        ("sciml.folder.write_atomically", RUNNER),
        ("sciml.cli.launch.launch", RUNNER),
        ("sciml.cli.doctor.subprocess.Popen", RUNNER),
        ("sciml.pinn.module.torch", ELSEWHERE),
        ("sciml.pinn.module.Tensor", ELSEWHERE),
        ("torch.nn.init.torch.hub.load", "there is no module torch.nn.init.torch"),
        ("torch.nn.init.math", ELSEWHERE),
        ("torch.nn.modules.module.warnings", ELSEWHERE),
        ("torch.nn.modules.module._WrappedHook", "is private to its package"),
        ("lightning.pytorch.core.saving._load_from_checkpoint", "is private to its package"),
        ("lightning.pytorch.core.saving.load_hparams_from_yaml", "is not a part of a Trainer: allowed are lightning"),
        ("lightning.pytorch.cli.LightningCLI", "is not a part of a Trainer"),
        ("lightning.pytorch.LightningModule", "is not a part of a Trainer"),
        ("torch.optim.Adm", "torch.optim has no Adm; did you mean Adam, "),
        ("sciml.pinn.modul.Pinn", "there is no module sciml.pinn.modul"),
        ("sciml.nothing.modul.Pinn", "there is no module sciml.nothing"),
    ],
)
def test_targets_that_are_refused(path: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        target(path)
    assert str(caught.value).startswith("_target_ ")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["torch.nn.Tanh", "torch.optim.Adam", "torch.nn.init.zeros_", "lightning.pytorch.Trainer", "sciml.network.mlp.MLP"],
)
def test_targets_that_pass(path: str) -> None:
    assert target(path).__name__ == path.rpartition(".")[2]


def test_a_package_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_needy.py").write_text("import no_such_package\n")
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    (tmp_path / "own_fine.py").write_text("import os\nfrom lightning.pytorch import Callback\nclass _Part: pass\n")
    with pytest.raises(ConfigError, match="needs the package no_such_package, which is not installed"):
        target("own_needy.Part", ["own_needy"])
    with pytest.raises(ConfigError, match="own_broken cannot be imported: ZeroDivisionError: division by zero"):
        target("own_broken.Part", ["own_broken"])
    with pytest.raises(ConfigError, match=ELSEWHERE):
        target("own_fine.os", ["own_fine"])
    with pytest.raises(ConfigError, match="there is no module own_absent"):
        target("own_absent.Part", ["own_absent"])
    with pytest.raises(ConfigError, match=re.escape("(trust a package of your own with --trust PACKAGE)")):
        target("own_fine._Part")
    assert target("own_fine._Part", ["own_fine."]).__name__ == "_Part"
    assert target("lightning.pytorch.LightningModule", ["lightning"]).__name__ == "LightningModule"
    for name in ("own_needy", "own_broken", "own_fine"):
        sys.modules.pop(name, None)


def test_identity(tmp_path: Path) -> None:
    config = tree(tmp_path)
    first = digest(config)
    assert re.fullmatch("[0-9a-f]{10}", first)
    for key, value in {"seed": 5, "outputs": "x", "track": {"mode": "online"}, "checkpoint": {}, "paper": None}.items():
        assert digest({**config, key: value}) == first
    for key, value in {"threads": 2, "deterministic": False, "trainer": {**config["trainer"], "max_steps": 41}}.items():
        assert digest({**config, key: value}) != first
    assert digest(dict(reversed(config.items()))) == first
    assert digest({**config, "pinn": {**config["pinn"], "nap": 0.5}}) != first


def test_suggestions() -> None:
    assert suggest("seeed", ["seed", "trainer"]) == ["seed"]
    assert suggest("lr", ["optimizer.lr", "optimizer.eps"]) == ["optimizer.lr"]
    assert suggest("solver.lr", ["optimizer.lr", "prior.eps"]) == ["optimizer.lr"]
    assert did_you_mean("zzz", ["seed"]) == ""
    assert did_you_mean("widht", ["width", "depth"], "network.") == "; did you mean network.width?"
