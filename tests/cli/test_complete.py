"""Completion: what is offered, in Python and in a real bash, and what it does not import."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import USER

from sciml.cli.complete import (
    complete_grid,
    complete_launcher,
    complete_listing,
    complete_sweep,
    complete_table,
    offers,
)

CASE = "+experiment=daw2023r3/convection"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / group).glob("*.yaml"))


COLLOCATIONS = options("pinn/collocation")


def offered(incomplete: str, *before: str) -> list[str]:
    return list(offers(incomplete, before))


def test_names() -> None:
    assert "+experiment=" in offered("")
    assert offered("+exp") == ["+experiment="]
    assert offered("+experiment=daw") == ["+experiment=daw2023r3/baseline", "+experiment=daw2023r3/convection"]
    assert "+experiment=daw2023r3/baseline,baseline/gaussian" in offered("+experiment=daw2023r3/baseline,bas")
    assert offered("netw") == ["network="]
    assert offered("~netw") == ["~network="]
    assert offered("pinn/coll") == ["pinn/collocation="]
    assert offered("pinn/collocation=") == [f"pinn/collocation={name}" for name in COLLOCATIONS]
    assert offered("pinn/collocation=r3,f") == ["pinn/collocation=r3,fixed"]
    assert offered("pinn=") == [f"pinn={name}" for name in options("pinn")]
    assert offered("nothing=") == offered("nothing") == []
    assert "table" not in "".join(offered(""))


def test_settings() -> None:
    assert "seed=" in offered("se")
    assert offered("track.mo") == ["track.mode="]
    assert offered("pinn.") == offered("network.") == []
    assert offered("network.", CASE) == [f"network.{name}=" for name in ("activation", "depth", "width")]
    assert offered("network.m", CASE, "network=spectral_diagonal") == ["network.modes="]
    assert offered("optimizer.pre", CASE) == []
    assert offered("optimizer.pre", CASE, "optimizer=soap") == ["optimizer.precondition_frequency="]
    assert offered("pinn.problem.eq", CASE) == ["pinn.problem.equation.beta="]
    assert "pinn.n_points=" in offered("pinn.n", CASE)
    assert "pinn.scheduler.gamma=" in offered("pinn.s", CASE)
    assert not any("_target_" in word or "hydra" in word or "defaults" in word for word in offered("", CASE))
    assert {"solver", "prior"} <= {word.split("/")[1].rstrip("=") for word in offered("diffusion/")}


def test_what_a_class_takes_beside_its_config(mine: Callable[..., str]) -> None:
    assert offered("+trainer.gradient_clip_v", CASE) == ["+trainer.gradient_clip_val="]
    assert offered("+trainer.max_s", CASE) == []  # is set: no + is needed
    assert offered("trainer.gradient_clip_v", CASE) == []
    assert offered("+optimizer.", CASE, "optimizer=adamw")[:2] == ["+optimizer.amsgrad=", "+optimizer.capturable="]
    assert "+optimizer.params=" not in offered("+optimizer.", CASE)
    assert offered("+optimizer.w", CASE) == ["+optimizer.weight_decay="]
    assert offered("+trainer.logg", CASE) == []  # the runner's
    # The slots are filled, and everything else is set.
    assert [word for word in offered("+pinn", CASE) if "." in word] == ["+pinn.scheduler.last_epoch="]
    folder = mine(pinn__slim="_target_: sciml.pinn.module.Pinn", network__odd="_target_: torch.nn.no.Such")
    assert "+pinn.n_points=" in list(offers("+pinn.n", ["+pinn=slim", "+network=odd"], folder))


def test_users_folder() -> None:
    folder = f"{USER}/conf"
    assert list(offers("+experiment=mi", [], folder)) == ["+experiment=mine/toy"]
    assert list(offers("network=toy", [], folder)) == ["network=toynet"]
    assert list(offers("network.", ["+experiment=mine/toy"], folder)) == ["network.width="]
    assert list(offers("+experiment=mi", [], "nowhere")) == []


def test_broken_files_offer_nothing(mine: Callable[..., str]) -> None:
    folder = mine(experiment__a__b="defaults: [", network__c="width: [")
    assert list(offers("+experiment=a/", [], folder)) == ["+experiment=a/b"]
    assert list(offers("see", ["+experiment=a/b", "network=c"], folder)) == ["seed="]


def test_other_arguments() -> None:
    assert complete_table("daw") == [name for name in complete_table("") if name.startswith("daw")] != []
    assert complete_listing("p") == ["papers"]


@pytest.fixture
def tab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """What the console script answers to a shell."""
    monkeypatch.chdir(tmp_path)

    def press(line: str) -> list[str]:
        from sciml.cli.main import main

        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_SCIML_COMPLETE", "complete_bash")
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out.split()

    return press


def test_from_a_shell(tab: Callable[..., list[str]]) -> None:
    assert tab("sciml resu") == ["resume"]
    assert tab("sciml train --mul") == ["--multirun"]
    assert tab(f"sciml train {CASE} pinn.n_p") == ["pinn.n_points="]
    assert tab(f"sciml show {CASE} pinn.n_p") == ["pinn.n_points="]
    assert tab(f"sciml train -m -c {USER}/conf +experiment=mine/t") == ["+experiment=mine/toy"]
    assert tab(f"sciml train --config-dir={USER}/conf +experiment=mine/toy network.") == ["network.width="]
    assert tab("sciml list p") == ["papers"]
    assert tab("sciml table daw2023r3/") == complete_table("daw2023r3/")
    assert tab("sciml eval o") == []
    for root in ("outputs", "other"):
        Path(root, "mine/toy/0-seed0").mkdir(parents=True)
        Path(root, "mine/toy/0-seed0/config.yaml").write_text("")
    assert tab("sciml eval o") == ["outputs/mine/toy/0-seed0"]
    assert tab("sciml resume --outputs other o") == ["other/mine/toy/0-seed0"]


HEAVY = "{'torch', 'lightning', 'hydra', 'wandb', 'numpy', 'omegaconf', 'matplotlib', 'scipy'}"
PROBE = f"""
import atexit, sys
atexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules)), file=sys.stderr))
from sciml.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("args", "env", "expected"),
    [
        (["--help"], {}, "doctor"),
        (["--version"], {}, f"sciml {version('sciml')}"),
        (["train", "--help"], {}, "--multirun"),
        (["data", "generate", "--help"], {}, "--jobs"),
        (["completion", "bash"], {}, "complete -o default -F _sciml sciml"),
        (["list"], {}, "daw2023r3/convection"),
        ([], {"COMP_WORDS": f"sciml train {CASE} pinn.n_p", "COMP_CWORD": "3"}, "pinn.n_points="),
        ([], {"COMP_WORDS": "sciml data generate heat po", "COMP_CWORD": "4"}, "points="),
        ([], {"COMP_WORDS": f"sciml train {CASE} +trainer.max_t", "COMP_CWORD": "3"}, "+trainer.max_time="),
    ],
)
def test_nothing_heavy_is_imported(args: list[str], env: dict[str, str], expected: str) -> None:
    more = {**env, "_SCIML_COMPLETE": "complete_bash"} if env else {}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *args], capture_output=True, text=True, env={**os.environ, **more}
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "HEAVY []"


def test_scripts(sciml: Callable[..., Any]) -> None:
    assert subprocess.run(["bash", "-n"], input=sciml("completion", "bash").out, text=True).returncode == 0
    assert sciml("completion", "zsh").out.startswith("#compdef sciml\n")
    ended = sciml("completion", "fish")
    assert (ended.code, ended.err) == (2, "error: there is no completion for fish; choose bash or zsh\n")


class Bash:
    """An interactive bash on a terminal of its own, with the completion loaded."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            env = {"PATH": path, "TERM": "dumb", "PS1": "ready> ", "HOME": str(folder), "COLUMNS": "300", "LC_ALL": "C"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        self.read("ready> ")
        self.type(
            "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; bind 'set page-completions off'\n"
        )
        self.read("ready> ")
        self.type("source <(sciml completion bash); complete -p sciml\n")
        self.read("_sciml sciml\r\nready> ")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.terminal, text.encode())

    def read(self, until: str, seconds: float = 30) -> str:
        """What the terminal shows, up to a text that must come."""
        shown, end = "", time.monotonic() + seconds
        while until not in shown:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"waited for {until!r}, saw {shown!r}"
            shown += os.read(self.terminal, 65536).decode(errors="replace").replace("\x07", "")
        return shown

    def line(self, typed: str, until: str) -> None:
        """Type, press TAB, expect the line to become ``until``; then clear it."""
        self.type(typed + "\t")
        self.read(until)
        self.type("\x15")  # Ctrl-U

    def close(self) -> None:
        """Leave."""
        self.type("\x15exit\n")
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    run = tmp_path / "outputs" / "mine" / "toy" / "0123456789-seed0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("")
    shell = Bash(tmp_path)
    yield shell
    shell.close()


def test_bash(bash: Bash) -> None:
    bash.line("sciml train +exp", "sciml train +experiment=")
    bash.line("sciml train +experiment=daw2023r3/c", "+experiment=daw2023r3/convection ")
    bash.line("sciml train -m pinn/collocation=r3,f", "pinn/collocation=r3,fixed ")
    bash.line(f"sciml train {CASE} pinn.n_p", f"{CASE} pinn.n_points=")
    bash.line("sciml eval ", "sciml eval outputs/mine/toy/0123456789-seed0 ")
    bash.line("sciml compl", "sciml completion ")
    bash.type("sciml train pinn/collocation=\t\t")
    listed = bash.read(COLLOCATIONS[-1]).split()  # below the line, without what stands on it already
    assert {"fixed", "uniform"} <= set(COLLOCATIONS) <= set(listed)


def test_launchers_and_sweeps(mine: Callable[..., str], tmp_path: Path) -> None:
    folder = mine(launcher__big="defaults: [slurm]\n")
    context: Any = SimpleNamespace(params={"config_dir": folder, "outputs": str(tmp_path), "launcher": "slurm"})
    assert complete_launcher(context, "") == ["big", "joblib", "local", "slurm", "submitit"]
    assert complete_launcher(context, "s") == ["slurm", "submitit"]
    found = list(complete_grid(context, "launcher.s"))
    assert found == ["launcher.signal=", "launcher.setup=", "launcher.srun=", "launcher.sbatch="]
    assert "launcher=" not in complete_grid(context, "")
    for name in ("b-20260101-000000", "a-20260102-000000"):
        (tmp_path / ".sweeps" / name).mkdir(parents=True)
        (tmp_path / ".sweeps" / name / "sweep.json").write_text("{}")
    assert complete_sweep(context, "") == ["b-20260101-000000", "a-20260102-000000"]
    assert complete_sweep(context, "a") == ["a-20260102-000000"]
