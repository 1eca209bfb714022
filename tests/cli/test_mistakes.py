"""Every mistake on the command line or in a user's file: what is said, exit code 2, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

CASE = "+experiment=daw2023r3/convection"
HEAD = """# @package _global_
defaults:
  - /pinn: default
  - override /pinn/problem: convection
  - override /network: mlp
  - override /optimizer: adam
"""
HEADER = "an experiment's file holds settings below the line '# @package _global_' with which it begins"
OVERRIDE_FORM = "\n  form: key=value, +key=value, ~key; quote values with brackets, commas or blanks: 'key=[1,2]'"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        # experiments
        ([], "no experiment is chosen: add +experiment=<paper>/<case> (see: sciml list experiments)"),
        (
            ["+experiment=daw2023r3/convektion"],
            "there is no experiment daw2023r3/convektion; did you mean daw2023r3/conv",
        ),
        (["+experiment=convection"], "there is no experiment convection; did you mean daw2023r3/convection"),
        (["+experiment=zzz"], "there is no experiment zzz\n  see: sciml list experiments"),
        (
            ["experiment=daw2023r3/convection"],
            "an experiment is added, not overridden: +experiment=daw2023r3/convection",
        ),
        # groups and their options
        ([CASE, "pin/collocation=r3"], "there is no config group pin/collocation; did you mean pinn/collocation?"),
        ([CASE, "pinn/collocation=r4"], "there is no pinn/collocation r4\n  available: causal_r3, fixed, halton"),
        ([CASE, "pinn/weighting=a/b"], "there is no pinn/weighting/a b\n  available: "),
        (
            [CASE, "+pinn/collocation=r3"],
            "pinn/collocation is chosen already: change it without +, pinn/collocation=<opti",
        ),
        ([CASE, "+optimizer=soap"], "optimizer is chosen already: change it without +, optimizer=<option>"),
        ([CASE, "pinn=null"], "pinn cannot be null: it is one of baseline, chebyshev, default, gphm"),
        (
            [CASE, "operator/dataset=heat"],
            "this experiment has no slot operator/dataset; a slot of a family it does not us",
        ),
        (["+pinn=default"], "pinn/problem is not chosen: add pinn/problem=<option>, one of "),
        (
            ["+pinn=default", "pinn/problem=convection"],
            "pinn.network refers to network, which is not there: choose one with network=<option> (from pinn/d",
        ),
        (
            [CASE, "~pinn"],
            "there is no pinn/problem to override in this config (from experiment/daw2023r3/convection.yaml)",
        ),
        ([CASE, "+operator=baseline"], "a run has one family, this config has 2: pinn, operator"),
        ([CASE, "hydra/job_logging=nope"], "there is no hydra/job_logging nope; did you mean none?\n  available: "),
        # keys that no config sets, at any depth
        ([CASE, "sead=1"], "there is no setting sead; did you mean seed?"),
        ([CASE, "pinn.n_point=5"], "there is no setting pinn.n_point; did you mean pinn.n_points"),
        (
            [CASE, "pinn.weighting.weigths=5"],
            "there is no setting pinn.weighting.weigths; did you mean pinn.weighting.w",
        ),
        (
            [CASE, "trainer.min_steps=1"],
            "trainer.min_steps is not set by any config, so it is added, not overridden: +tr",
        ),
        (
            [CASE, "optimizer=adam_lbfgs", "optimizer.stages.0={_target_:sciml.optimizer.soap.SOAP}"],
            "an item of optimizer.stages has no such key to override; a list is set as a whole: 'optimizer.stages=[...",
        ),
        # what the experiment has set for what it fills a slot with
        (
            [CASE, "network=pirate"],
            "convection.yaml, for network/mlp.yaml; leave it out with ~network.depth)",
        ),
        (
            ["+experiment=baseline/heat", "network=fno"],
            "(from experiment/baseline/heat.yaml, for network/spectral_diagonal.yaml)",
        ),
        (
            [CASE, "pinn/problem=burgers_hard"],
            "leave out the others with ~pinn.weighting.weights.boundary ~pinn.weighting.weights.initial",
        ),
        ([CASE, "+pinn.n_val=7"], "pinn.n_val is set already: change it without +, pinn.n_val=<value>"),
        ([CASE, "~sed"], "there is no setting sed to take out; did you mean seed?"),
        # values that only the run can judge
        ([CASE, "network.activation=tahn"], "network.activation: unknown 'tahn'; one of "),
        ([CASE, "track.mode=onlin"], "bad value for track.mode: 'onlin' is not one of offline, online, disabled"),
        ([CASE, "trainer.accelerator=foo"], "trainer: You selected an invalid accelerator name"),
        ([CASE, "trainer.max_steps=0"], "trainer.max_steps must be at least 1: this run trains"),
        ([CASE, "pinn.n_points=???"], "pinn.n_points has no value: add pinn.n_points=<value> (from command line)"),
        (
            [CASE, "pinn.n_points=${pinn.n_poinst}"],
            "pinn.n_points refers to pinn.n_poinst, which is not there (from comm",
        ),
        (
            [CASE, "seed=${oc.env:SCIML_NOT_SET}"],
            "seed: Environment variable 'SCIML_NOT_SET' not found (from command li",
        ),
        ([CASE, "seed=${nothing:1}"], "seed: Unsupported interpolation type nothing (from command line)"),
        # the form of overrides
        ([CASE, "seed=0,1"], "several values for 'seed=0,1'; add -m to run them all"),
        ([CASE, "seed"], f"cannot read the override seed{OVERRIDE_FORM}"),
        ([CASE, "track.tags=[a"], f"cannot read the override track.tags=[a{OVERRIDE_FORM}"),
        (
            [CASE, "--", "--info"],
            "--info is not an override; options of sciml stand before '--' (see: sciml train --help)",
        ),
        ([CASE, "--config-dir", "nowhere"], "there is no config folder nowhere"),
        ([CASE, "hydra.searchpath=/tmp"], "hydra.searchpath must be a list of strings. Got: /tmp"),
    ],
)
def test_command_line(overrides: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(*overrides)


def test_all_that_the_constructors_refuse_is_said_at_once(refused: Callable[..., str]) -> None:
    said = refused(
        CASE,
        "+sead=1", "++trainer.max_stepz=1", "++track.moode=1", "~track.project", "+pinn.problem.equation.betta=5",
        "+pinn.n_point=5", "seed=one", "threads=0", "deterministic=maybe", "outputs=null", "paper=daw2023r3",
        "checkpoint.every_seconds=fast", "pinn.n_points=1.5", "pinn.collocation=null", "optimizer=soap",
        "optimizer.betas=[1]", "trainer.precision=foo", "~pinn.weighting._target_",
    )  # fmt: skip
    here, file = "(from command line)", "from pinn/weighting/fixed.yaml"
    precisions = "64, 32, 16, transformer-engine, transformer-engine-float16, 16-true, 16-mixed, bf16-true, bf16-mixed"
    precisions += ", 32-true, 64-true, bf16"
    weighting = "{'weights': {'residual': 1.0, 'initial': 100.0, 'boundary': 100.0}}"
    steps = "trainer.max_steps, trainer.max_time, trainer.min_steps"
    assert {line.strip() for line in said.splitlines()} == {
        f"there is no setting sead; did you mean seed? {here}",
        f"there is no setting trainer.max_stepz; did you mean {steps}? {here}",
        f"there is no setting track.moode; did you mean track.mode? {here}",
        f"track.project is missing: every run needs it {here}",
        f"there is no setting pinn.problem.equation.betta; did you mean pinn.problem.equation.beta? {here}",
        f"there is no setting pinn.n_point; did you mean pinn.n_points? {here}",
        f"bad value for seed: 'one' is not a whole number of at least 0 and at most 4294967295 {here}",
        f"bad value for threads: 0 is not a whole number of at least 1 and at most 4096 {here}",
        f"bad value for deterministic: 'maybe' is not true or false {here}",
        f"bad value for outputs: None is not text {here}",
        f"bad value for checkpoint.every_seconds: 'fast' is not a number {here}",
        f"bad value for pinn.n_points: 1.5 is not a whole number of at least 1 {here}",
        f"bad value for pinn.collocation: None is not a node with a _target_ (Collocation) {here}",
        f"bad value for optimizer.betas: [1] is not a list of 2, each item a number of at least 0 and below 1 {here}",
        f"bad value for trainer.precision: 'foo' is not one of {precisions} or null {here}",
        (
            f"bad value for pinn.weighting: {weighting} is not a node with a _target_ (Weighting)"
            f" or a node with a _target_ (Direction) ({file})"
        ),
    }


@pytest.mark.parametrize("key", ["experimnt=zzz", "~seed", "deterministic="])
def test_top_level(key: str, refused: Callable[..., str]) -> None:
    messages = {
        "experimnt=zzz": "there is no setting experimnt; did you mean +experiment? (from command line)",
        "~seed": "seed is missing: every run needs it (from command line)",
        "deterministic=": "bad value for deterministic: '' is not true or false (from command line)",
    }
    assert messages[key] == refused(*([f"+{key}"] if key.startswith("exp") else [CASE, key]))


@pytest.mark.parametrize(
    ("text", "message", "from_file"),
    [
        (
            HEAD + "pinn: {n_points: '${pinn.n_poinst}'}",
            "pinn.n_points refers to pinn.n_poinst, which is not there",
            True,
        ),
        (HEAD + "seed: ${seed}", "seed: Recursive interpolation detected", True),
        (HEAD + "seed: 1\nseed: 2", "cannot be read, line 8: found duplicate key seed", False),
        (HEAD + "pinn: {n_points: [1", "cannot be read, line ", False),
        (HEAD + "\tseed: 1", "cannot be read, line 7: found character '\\t' that cannot start any token", False),
        ("- a\n- b\n", HEADER, True),
        ("seed: 3", HEADER, True),
        (HEAD.partition("\n")[2], "must begin with the line '# @package _global_'", False),
        (
            HEAD.replace("pinn/problem", "pinn/probem"),
            "there is no config group pinn/probem; did you mean pinn/problem?",
            True,
        ),
        (
            HEAD + "  - override /pinn/colocation: r3",
            "there is no config group pinn/colocation; did you mean pinn/collo",
            True,
        ),
        (
            HEAD + "  - override /operator/dataset: heat",
            "there is no operator/dataset to override in this config",
            True,
        ),
        (
            HEAD.replace("convection", "convektion"),
            "there is no pinn/problem convektion; did you mean convection, ",
            True,
        ),
        (HEAD.replace("network: mlp", "network: mpl"), "there is no network mpl; did you mean mlp?", True),
        (HEAD.replace("pinn: default", "pinn: defualt"), "there is no pinn defualt; did you mean default?", True),
        (HEAD.replace("/pinn: default", "/pin: default"), "there is no config group pin; did you mean pinn?", True),
        (
            HEAD.replace("  - override /pi", "  - /network: mlp\n  - override /pi"),
            "network is chosen twice; to change it, wri",
            True,
        ),
        (HEAD + "  - /influence: default", "Overrides must be at the end of the defaults list", False),
        (HEAD + "hydra: {swep: {dir: x}}", "Key 'swep' not in 'HydraConf'", True),
        (
            HEAD + "hydra: {searchpath: [file:///tmp]}",
            "Overriding hydra.searchpath is only supported from the primary",
            False,
        ),
    ],
)
def test_file(text: str, message: str, from_file: bool, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__b=text)
    said = refused("--config-dir", folder, "+experiment=a/b")
    assert message in said
    assert "experiment/a/b" in said
    if from_file:
        assert f"(from {folder}/experiment/a/b.yaml)" in said


def test_every_line_names_the_file(refused: Callable[..., str], mine: Callable[..., str]) -> None:
    text = (
        "sead: 1\npinn: {n_point: 3, n_points: many, weighting: {weigths: {a: 1}, weights: {1: 2.0}}}\n"
        "trainer: {max_stepz: 3}\ntrack: {moode: online, tags: 3}\noperator: 5\n"
    )
    folder = mine(experiment__a__b=HEAD + text)
    said = refused("--config-dir", folder, "+experiment=a/b").splitlines()
    here = f"(from {folder}/experiment/a/b.yaml)"
    steps = "trainer.max_steps, trainer.max_time, trainer.min_steps"
    assert {line.strip() for line in said} == {
        f"there is no setting sead; did you mean seed? {here}",
        f"there is no setting pinn.n_point; did you mean pinn.n_points? {here}",
        f"bad value for pinn.n_points: 'many' is not a whole number of at least 1 {here}",
        f"there is no setting pinn.weighting.weigths; did you mean pinn.weighting.weights? {here}",
        f"pinn.weighting.weights has the key 1, which must be text: put it in quotes {here}",
        f"there is no setting trainer.max_stepz; did you mean {steps}? {here}",
        f"there is no setting track.moode; did you mean track.mode? {here}",
        f"bad value for track.tags: 3 is not a list {here}",
        f"operator names no class: its _target_ is missing {here}",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "_target_: sciml.network.mlp.MLP\n_partial_: true\nwidht: 5",
            "there is no setting network.own.widht; did you mean",
        ),
        ("width: 5", "network names no class: its _target_ is missing"),
        (
            "_target_: sciml.network.mlp.MLP\n_partial_: true\nwidth: ???",
            "network.width has no value: add network.width=<va",
        ),
        (
            "_target_: sciml.network.mlp.MLP\n_partial_: maybe",
            "bad value for network._partial_: 'maybe' is not true or fal",
        ),
        (
            "_target_: sciml.network.mlp.MLP\n_partial_: true\n_args_: [3]",
            "network._args_ is not allowed: give each parame",
        ),
    ],
)
def test_file_of_a_group(text: str, message: str, refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__b=HEAD.replace("network: mlp", "network: own"), network__own=text)
    said = refused("-c", folder, "+experiment=a/b")
    assert message.replace(".own", "") in said
    assert f"(from {folder}/network/own.yaml)" in said


def test_missing_parameter(refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(pinn__alone="_target_: sciml.pinn.module.Pinn\nnetwork: null")
    said = refused("-c", folder, "+pinn=alone")
    for name in ("problem", "collocation", "weighting", "optimizer"):
        assert f"pinn.{name} is missing: Pinn needs it (from {folder}/pinn/alone.yaml)" in said
    assert "bad value for pinn.network: None is not a node with a _target_" in said


def test_file_that_is_no_text(refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__b="")
    Path(folder, "experiment/a/b.yaml").write_bytes(b"seed: \xff\xfe")
    said = refused("-c", folder, "+experiment=a/b")
    assert said.startswith(f"{folder}/experiment/a/b.yaml cannot be read: 'utf-8' codec")


def test_file_that_is_a_folder(refused: Callable[..., str], mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__c=HEAD)
    Path(folder, "experiment/a/b.yaml").mkdir(parents=True)
    assert refused("-c", folder, "+experiment=a/b").startswith("there is no experiment a/b; did you mean a/c")


def test_a_name_that_a_built_in_config_has(sciml: Callable[..., object], mine: Callable[..., str]) -> None:
    folder = mine(network__mlp="_target_: sciml.network.mlp.MLP\n_partial_: true\nwidth: 5")
    ended = sciml("train", "-c", folder, CASE, "seed=one")
    assert f"{folder}/network/mlp.yaml is not read: there is a built-in config network/mlp\n" in ended.err
    assert ended.code == 2


def test_options_of_sciml(sciml: Callable[..., object]) -> None:
    ended = sciml("train", "--multirunn")
    assert ended.code == 2
    assert "No such option: --multirunn" in ended.err
    ended = sciml("trian")
    assert ended.code == 2
    assert "No such command 'trian'" in ended.err
