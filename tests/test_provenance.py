"""Where a row comes from."""

from __future__ import annotations

import mmap
import subprocess
from pathlib import Path

import pytest

from sciml import provenance


def test_commit_and_whether_the_code_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sciml").mkdir()
    code = tmp_path / "sciml/provenance.py"
    code.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(code))
    assert provenance.commit() == {"commit": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.commit() == {"commit": head, "dirty": False}
    (tmp_path / "row.json").write_text("{}")
    assert provenance.commit()["dirty"] is False  # a new row is not a change of the code
    code.write_text("2")
    assert provenance.commit()["dirty"] is True
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_peak_memory_is_that_since_the_reset() -> None:
    provenance.reset_peak_memory()
    before = provenance.peak_memory()
    # From the kernel itself: what was freed before stays with the process, and would serve again.
    with mmap.mmap(-1, 200 * 2**20) as block:
        block[::4096] = b"x" * len(block[::4096])
        grown = provenance.peak_memory()
    assert 150 < grown - before < 300
    provenance.reset_peak_memory()
    assert provenance.peak_memory() < grown - 100


def test_versions_are_those_that_are_installed() -> None:
    import torch

    assert provenance.versions()["torch"] == torch.__version__
    assert provenance.device_name("cpu")
