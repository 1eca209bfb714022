"""The batch script is run by a shell, with a stand-in for srun: what arrives is what was given."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from sciml.errors import UsageError
from sciml.launcher.slurm import Slurm

ODD = [["it's", 'a "b" $HOME `x` \\', "line\nbreak", "*", ""], ["plain"]]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "bin", monkeypatch)
    fake.command("scontrol", "MaxArraySize            = 1001\n")
    fake.command("sbatch", "71;cluster\n")
    return fake


def options(script: str) -> dict[str, str]:
    found = [line.removeprefix("#SBATCH --").partition("=") for line in script.splitlines() if "#SBATCH" in line]
    return {key: value for key, _, value in found}


def test_each_task_runs_its_own_command(tmp_path: Path, slurm: FakeSlurm) -> None:
    program = tmp_path / "bin" / "srun"
    program.write_text(
        f"#!{sys.executable} -S\nimport json, os, sys\nprint(json.dumps([os.environ['X'], sys.argv[1:]]))\n"
    )
    program.chmod(0o755)
    commands = [[sys.executable, "-c", *words] for words in ODD]
    script = Slurm(cpus=3, setup=["X=$((1 + 1))", "export X"], srun=["--mpi=none"]).script(commands, tmp_path, "n")
    for index, command in enumerate(commands):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True,
                              env={"PATH": f"{program.parent}:/bin", "SLURM_ARRAY_TASK_ID": str(index)})  # fmt: skip
        name, words = json.loads(done.stdout)
        assert (name, words[:3]) == ("2", ["--unbuffered", "--cpus-per-task=3", "--mpi=none"])
        assert words[-len(command) :] == command


def test_a_notice_that_comes_too_early_does_not_end_a_task(slurm: FakeSlurm) -> None:
    slurm.command("srun", script='shift 2; exec "$@"')
    early = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('lives')"
    script = Slurm().script([[sys.executable, "-S", "-c", early]], slurm.folder, "n")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                          env={"PATH": f"{slurm.folder}:/bin", "SLURM_ARRAY_TASK_ID": "0"})  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


def test_options(tmp_path: Path) -> None:
    folder = tmp_path / "a b" / "50%"
    launcher = Slurm(
        partition="gpu", time="2:00:00", memory="8G", cpus=4, gpus=2, nodes=2, tasks_per_node=2, account="me",
        qos="low", constraint="a100&nvlink", parallel=5, signal=60,
        sbatch={"mail_type": "END", "exclusive": True, "nice": None},
    )  # fmt: skip
    assert options(launcher.script([["x"]] * 3, folder, "name")) == {
        "job-name": "name",
        "array": "0-2%5",
        "output": f'"{tmp_path}/a b/50%%/name-%A_%a.log"',
        "partition": "gpu",
        "time": "2:00:00",
        "mem": "8G",
        "cpus-per-task": "4",
        "gpus-per-node": "2",
        "nodes": "2",
        "ntasks-per-node": "2",
        "account": "me",
        "qos": "low",
        "constraint": '"a100&nvlink"',
        "signal": "USR2@60",
        "requeue": "",
        "open-mode": "append",
        "mail-type": "END",
        "exclusive": "",
    }
    bare = options(Slurm().script([["x"]], folder, "name"))
    assert bare["array"] == "0-0"
    assert {"partition", "time", "mem", "gpus-per-node", "account"}.isdisjoint(bare)
    assert "requeue" not in options(Slurm(sbatch={"requeue": False}).script([["x"]], folder, "name"))
    with pytest.raises(UsageError, match=r"bad value for the option comment of sbatch: 'a\\nb'"):
        Slurm(sbatch={"comment": "a\nb"}).script([["x"]], folder, "name")


def test_ids_and_where_the_output_goes(tmp_path: Path, slurm: FakeSlurm) -> None:
    launcher = Slurm()
    assert launcher.launch([["a"], ["b"]], tmp_path, "name") == ["71_0", "71_1"]
    assert slurm.calls("sbatch") == [["--parsable", f"{tmp_path}/name.sbatch"]]
    assert launcher.log(tmp_path, "name", 1, "71_1") == tmp_path / "name-71_1.log"


def test_more_tasks_than_an_array_has(tmp_path: Path, slurm: FakeSlurm) -> None:
    slurm.command("scontrol", "MaxArraySize            = 2\n")
    slurm.command("sbatch", script='n=$(ls "$(dirname $2)"/*.sbatch | wc -l); echo $((70 + n)); exit 0')
    assert Slurm().launch([[c] for c in "abcde"], tmp_path, "n") == ["71_0", "71_1", "72_0", "72_1", "73_0"]
    scripts = [(tmp_path / f"n.{i}.sbatch").read_text() for i in range(3)]
    assert ["\na\nb\n" in scripts[0], "\nc\nd\n" in scripts[1], "\ne\n" in scripts[2]] == [True] * 3
    assert [options(script)["array"] for script in scripts] == ["0-1", "0-1", "0-0"]


def test_nothing_is_left_in_the_queue_if_a_part_is_refused(tmp_path: Path, slurm: FakeSlurm) -> None:
    slurm.command("scontrol", "MaxArraySize            = 1\n")
    slurm.command("scancel")
    refuse = 'case $2 in *.1.sbatch) echo "sbatch: error: Job violates accounting policy" >&2; exit 1;; esac'
    refuse += "; echo 71; exit 0"
    slurm.command("sbatch", script=refuse)
    with pytest.raises(UsageError, match="Job violates accounting policy"):
        Slurm().launch([["a"], ["b"]], tmp_path, "n")
    assert slurm.calls("scancel") == [["71"]]


@pytest.mark.parametrize("check", [lambda: Slurm().check(), lambda: Slurm().launch([["a"]], Path("/tmp"), "n")])
def test_without_slurm(check: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="SLURM is not installed on this machine"):
        check()
