"""``sciml show`` and ``sciml list``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import USER

CASE = "+experiment=daw2023r3/convection"


def places(text: str) -> dict[str, tuple[str, str]]:
    """Dotted key -> value and origin, from what ``show`` prints."""
    found: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    for line in text.splitlines():
        setting, _, origin = line.partition("  # ")
        depth = (len(setting) - len(setting.lstrip())) // 2
        name, _, value = setting.strip().partition(":")
        above = [*above[:depth], name]
        if value:
            found[".".join(above)] = value.strip(), origin.strip()
    return found


def test_where_each_value_comes_from(sciml: Callable[..., Any]) -> None:
    given = ["pinn/collocation=fixed", "seed=3", "++pinn.n_val=7", "pinn.weighting.weights={initial: 5}", "~track.tags"]
    ended = sciml("show", CASE, *given)
    assert (ended.code, ended.err) == (0, "")
    shown = places(ended.out)
    assert shown["seed"] == ("3", "command line")
    assert shown["threads"] == ("1", "config.yaml")
    assert shown["trainer.devices"] == ("1", "trainer/default.yaml")
    assert shown["trainer.max_steps"] == ("100000", "experiment/daw2023r3/convection.yaml")
    assert shown["paper.year"] == ("2023", "paper/daw2023r3.yaml")
    assert shown["network._target_"] == ("sciml.network.mlp.MLP", "network/mlp.yaml")
    assert shown["network.width"] == ("50", "experiment/daw2023r3/convection.yaml")
    assert shown["pinn._target_"] == ("sciml.pinn.module.Pinn", "pinn/default.yaml")
    assert shown["pinn.network"] == ("${network}", "pinn/default.yaml")
    assert shown["pinn.collocation._target_"] == ("sciml.pinn.collocation.fixed.Fixed", "pinn/collocation/fixed.yaml")
    assert shown["pinn.n_val"] == ("7", "command line")
    assert shown["pinn.weighting.weights.initial"] == ("5", "command line")
    assert shown["pinn.weighting.weights.residual"] == ("1.0", "experiment/daw2023r3/convection.yaml")
    assert shown["optimizer.betas"] == ("[0.9, 0.999]", "optimizer/adam.yaml")
    assert "track.tags" not in shown
    assert "hydra" not in ended.out


def test_users_files(sciml: Callable[..., Any]) -> None:
    shown = places(sciml("show", "-c", f"{USER}/conf", "+experiment=mine/toy", "optimizer.lr=0.5").out)
    assert shown["trainer.max_steps"] == ("50", f"{USER}/conf/experiment/mine/toy.yaml")
    assert shown["network.width"] == ("8", f"{USER}/conf/network/toynet.yaml")
    assert shown["optimizer._target_"] == ("torch.optim.Adam", f"{USER}/conf/optimizer/toyadam.yaml")
    assert shown["optimizer.lr"] == ("0.5", "command line")


def test_resolve(sciml: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    shown = places(sciml("show", CASE, "--resolve", "network.width=9").out)
    assert shown["track.mode"] == ("disabled", "config.yaml")
    assert shown["pinn.network.width"][0] == "9"
    ended = sciml("show", "+pinn=default", "pinn/problem=convection", "--resolve")
    assert ended.code == 2
    assert ended.err == (
        "error: pinn.network refers to network, which is not there: choose one with network=<option>"
        " (from pinn/default.yaml)\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["pinn=null"], "pinn cannot be null: it is one of baseline, chebyshev, default, gphm"),
        ([CASE, "pinn.n_point=3"], "there is no setting pinn.n_point; did you mean pinn.n_points"),
        (["-c", "nowhere"], "there is no config folder nowhere"),
        (["+experiment=a"], "there is no experiment a\n  see: sciml list experiments"),
    ],
)
def test_show_of_mistakes(args: list[str], message: str, sciml: Callable[..., Any]) -> None:
    ended = sciml("show", *args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")


def test_lists(sciml: Callable[..., Any]) -> None:
    def lines(*args: str) -> list[list[str]]:
        ended = sciml("list", *args)
        assert (ended.code, ended.err) == (0, "")
        return [line.rstrip().split(maxsplit=2) for line in ended.out.splitlines()]

    experiments = lines()
    assert experiments[0] == ["experiment", "family", "paper"]
    assert ["baseline/ridge", "influence"] in experiments
    assert ["daw2023r3/convection", "pinn"] in [line[:2] for line in experiments]
    assert any(line[0] == "daw2023r3/convection" and "Retain-Resample-Release" in line[2] for line in experiments)
    assert ["mine/toy", "pinn"] in lines("experiments", "--config-dir", f"{USER}/conf")
    assert "daw2023r3/convection" in [line[0] for line in lines("tables")]
    papers = {line[0]: line for line in lines("papers")}
    assert papers["daw2023r3"][1] == "2023"
    methods = {line[0]: line[1:] for line in lines("methods", "-c", f"{USER}/conf")}
    assert methods["pinn/collocation/r3"] == ["sciml.pinn.collocation.r3.R3"]
    assert methods["network/toynet"] == ["toy_package.Net"]
    assert "pinn/default" not in methods


def test_lists_of_nothing(sciml: Callable[..., Any]) -> None:
    ended = sciml("list", "method")
    assert (ended.code, ended.err) == (
        2,
        "error: there is no list of method; did you mean methods?\n  available: experiments, tables, papers, methods\n",
    )
    ended = sciml("list", "papers", "-c", "nowhere")
    assert (ended.code, ended.err) == (2, "error: there is no config folder nowhere\n")


def test_one_broken_file_hides_no_other(sciml: Callable[..., Any], mine: Callable[..., str]) -> None:
    folder = mine(
        experiment__a__good="defaults: [base, {/paper: b}]",
        experiment__a__base="defaults: [/experiment/a/root]",
        experiment__a__root="defaults: [{/operator: default}, {override /operator/dataset: heat}]",
        experiment__a__bad="seed: [",
        paper__a="title: [",
        table__a__b="- 1",
    )
    Path(folder, "paper", "c.yaml").symlink_to("nowhere")
    ended = sciml("list", "experiments", "-c", folder)
    assert ended.code == 0
    assert ["a/good", "operator"] in [line.split() for line in ended.out.splitlines()]
    assert ["a/bad", "?"] in [line.split() for line in ended.out.splitlines()]
    assert f"{folder}/experiment/a/bad.yaml cannot be read, line 1: " in ended.err
    assert f"{folder}/paper/a.yaml cannot be read, line 1: " in ended.err
    assert ["a/b"] in [line.split() for line in sciml("list", "tables", "-c", folder).out.splitlines()]
