"""``sciml doctor``: every check on a machine where it is well, and on one where it is not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sciml.cli import doctor
from sciml.cli.doctor import BAD, FINE, GOOD


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def only(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """A machine on which only these programs are installed."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in there else None)


def answer(
    monkeypatch: pytest.MonkeyPatch, code: int = 0, out: str = "", err: str = "", raised: Exception | None = None
) -> None:
    """What every program that is called says."""

    def call(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        if raised is not None:
            raise raised
        return subprocess.CompletedProcess([], code, out, err)

    monkeypatch.setattr(subprocess, "run", call)


def test_it_prints_every_check(sciml: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        doctor.Finding("a", GOOD, "well [bold]"),
        doctor.Finding("b", FINE, "so so", "do this"),
    ]
    monkeypatch.setattr(doctor, "CHECKS", tuple(lambda f=f: f for f in found))
    ended = sciml("doctor")
    assert ended.code == 0
    assert ended.out == f"ok   {'a':<10} well [bold]\nnote {'b':<10} so so\n{'':16}do this\n"
    monkeypatch.setattr(doctor, "CHECKS", (lambda: doctor.Finding("c", BAD, "ill"),))
    ended = sciml("doctor")
    assert (ended.code, ended.out) == (1, f"bad  {'c':<10} ill\n")


def test_this_machine() -> None:
    found = {finding.name: finding for finding in (check() for check in doctor.CHECKS)}
    names = ["python", "packages", "torch", "device", "compiler", "wandb", "slurm", "launchers", "cache", "disk"]
    assert list(found) == names
    for name in ("python", "packages", "torch", "wandb", "cache", "disk"):
        assert found[name].state == GOOD, found[name]
    assert sys.version.split()[0] in found["python"].text
    assert "offline" in found["wandb"].text


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10))
    assert doctor.python().state == BAD
    assert "3.11 or newer" in doctor.python().remedy


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-thing>=1,<2", "torch>=2", 'other; extra == "dev"'])
    finding = doctor.packages()
    assert (finding.state, finding.text) == (BAD, "missing: no-such-thing")


def test_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = doctor.torch()
    assert finding.state == BAD
    assert finding.text.startswith("cannot be imported: ")
    assert "torch" in finding.remedy
    assert doctor.device().state == BAD


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    only(monkeypatch)
    assert (doctor.device().state, doctor.device().text) == (FINE, "no GPU; runs use the CPU")
    only(monkeypatch, "nvidia-smi")
    assert doctor.device().remedy == "install the CUDA build of torch"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    assert (doctor.device().state, doctor.device().text) == (GOOD, "GPU 0, GPU 1")


def test_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    only(monkeypatch)
    assert doctor.compiler().text == "no C++ compiler: training steps are not compiled"
    assert doctor.compiler().remedy == "install g++ or clang++"
    only(monkeypatch, "clang++")
    answer(monkeypatch, 1, err="cmath: no such file")
    assert doctor.compiler().text == "/usr/bin/clang++ does not compile a program"
    answer(monkeypatch, raised=OSError(errno.EACCES, "Permission denied"))
    assert doctor.compiler().text == "/usr/bin/clang++ does not compile a program"
    answer(monkeypatch)
    assert (doctor.compiler().state, doctor.compiler().text) == (GOOD, "/usr/bin/clang++")


def test_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "onlin")
    assert (doctor.wandb().state, doctor.wandb().text) == (BAD, "WANDB_MODE is onlin")
    monkeypatch.setenv("WANDB_MODE", "online")
    assert (doctor.wandb().state, doctor.wandb().text) == (BAD, "online, but nobody is logged in")
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert doctor.wandb().state == GOOD
    (tmp_path / ".netrc").write_text("machine elsewhere login user password secret\n")
    assert doctor.wandb().state == BAD
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert (doctor.wandb().state, doctor.wandb().text) == (GOOD, "online")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert doctor.wandb().text == "disabled"
    monkeypatch.delenv("WANDB_MODE")
    assert "wandb sync" in doctor.wandb().text


def test_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    assert (doctor.slurm().state, doctor.slurm().text) == (FINE, "not on this machine")
    only(monkeypatch, "sbatch")
    answer(monkeypatch, 1, err="slurm_load_partitions: Unable to contact slurm controller\nmore")
    assert doctor.slurm().text.endswith("does not answer: slurm_load_partitions: Unable to contact slurm controller")
    assert "slurmctld" in doctor.slurm().remedy
    answer(monkeypatch, 1)
    assert doctor.slurm().text == "the controller does not answer: sinfo failed"
    answer(monkeypatch, raised=subprocess.TimeoutExpired("sinfo", 10))
    assert doctor.slurm().text.startswith("sinfo does not answer: ")
    answer(monkeypatch, out="debug* up 2\ngpu up 4\n")
    assert (doctor.slurm().state, doctor.slurm().text) == (GOOD, "partitions: debug* up 2; gpu up 4")


def test_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "submitit" else object())
    assert (doctor.launchers().state, doctor.launchers().text) == (FINE, "without submitit")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert doctor.launchers().text == "basic, joblib, submitit"


def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 2**30))
    assert (doctor.disk().state, doctor.disk().text) == (BAD, "1.0 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 100 * 2**30))
    assert doctor.disk().text == f"100 GB free, {tmp_path}/outputs can be written"

    def full(**kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    (tmp_path / "outputs").mkdir()
    assert (doctor.disk().state, doctor.disk().text) == (BAD, "outputs cannot be written: Read-only file system")
    assert doctor.disk().remedy == "choose another place with outputs=<folder>"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/cache")
    assert (doctor.cache().state, doctor.cache().text) == (BAD, "/cache cannot be written: Read-only file system")
