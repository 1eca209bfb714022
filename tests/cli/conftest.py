"""The command line in this process: a process of its own costs seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from helpers import USER
from typer.main import get_command
from typer.testing import CliRunner

command = cache(get_command)  # built from the signatures, once instead of at every call


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Where the runs of this test go."""
    return tmp_path / "outputs"


@pytest.fixture
def sciml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Call ``sciml`` with arguments; no exception may come out of it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    # A process inherits what --trust sets; here it must end with the test.
    monkeypatch.setattr(sys, "path", [*sys.path, str(USER)])
    monkeypatch.setenv("SCIML_TRUST", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(USER), os.environ.get("PYTHONPATH", "")))))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("typer.testing._get_command", command)

    def call(*args: str) -> Ended:
        from sciml.cli.main import app

        result = CliRunner().invoke(app, list(args), catch_exceptions=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(f"sciml {' '.join(args)} ended in an exception") from result.exception
        assert "Traceback" not in result.output
        return Ended(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def train(sciml: Callable[..., Ended], outputs: Path) -> Callable[..., Ended]:
    """``sciml train`` without tracking, into this test's outputs."""

    def call(*args: str) -> Ended:
        return sciml("train", "track.mode=disabled", f"outputs={outputs}", *args)

    return call


@pytest.fixture
def refused(train: Callable[..., Ended], outputs: Path) -> Callable[..., str]:
    """``sciml train`` of something that cannot be; returns the message."""

    def call(*args: str) -> str:
        ended = train(*args)
        assert ended.code == 2, ended
        assert ended.out == ""
        assert ended.err.startswith("error: ")
        assert not list(outputs.rglob("row.json"))
        return ended.err.removeprefix("error: ").rstrip("\n")

    return call


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., str]:
    """Write files of a user's own config folder; returns the folder."""
    folder = tmp_path / "mine"

    def write(**contents: str) -> str:
        for name, text in contents.items():
            path = folder / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(folder)

    return write
