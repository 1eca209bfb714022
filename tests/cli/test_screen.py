"""What is printed: plain for a file, coloured on a terminal, never coloured with NO_COLOR."""

from __future__ import annotations

from typing import Any

import pytest

from sciml.cli import screen

ROW = {
    "experiment": "a/[b]",
    "seed": 3,
    "metrics": {"rel_l2": 0.123456, "best/rel_l2": 0.0123456, "loss": 12345.678},
    "warnings": ["take [care]"],
    "wall_seconds": 1.25,
    "cost": {"steps": 7},
}


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("width")
def test_closing_panel(capsys: pytest.CaptureFixture[str]) -> None:
    screen.closing(ROW, "outputs/a/[b]/0-seed3", found=False, reported=["1.5 % [somewhere]"])
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("╭─ a/[b] ─")
    assert [line.split() for line in lines[1:3]] == [["rel_l2", "0.1235", "best", "0.01235"], ["loss", "1.235e+04"]]
    assert lines[3:7] == [
        "reported 1.5 % [somewhere]",
        "warning take [care]",
        "7 steps, 1.2 s, seed 3",
        "outputs/a/[b]/0-seed3",
    ]
    screen.closing({"experiment": "x", "seed": 0, "metrics": {}}, "f", found=True)
    out = capsys.readouterr().out
    assert "x (found, not repeated)" in out
    assert "seed 0" in out
    assert "steps" not in out


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize(("variable", "coloured"), [(None, False), ("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colours(
    variable: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    if variable:
        monkeypatch.setenv(variable, "1")
    screen.error("wrong [x]\nsecond [y]")
    screen.note("remark [z]")
    screen.closing(ROW, "folder", found=False)
    out, err = capsys.readouterr()
    assert ("\x1b[" in err) == ("\x1b[" in out) == coloured
    if not coloured:
        assert err == "error: wrong [x]\n  second [y]\nremark [z]\n"


def test_no_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen.error("wrong")
    assert "\x1b[1;31m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    screen.error("wrong")
    assert "\x1b[1;31m" not in capsys.readouterr().err


def test_error_without_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen.error("")
    assert capsys.readouterr().err == "error: unknown error\n"


def test_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[dict[str, Any]] = [
        {"overrides": ["+experiment=x", "seed=0"], "state": "done", "metrics": {"a": 0.5, "best/a": 0.25}},
        {"overrides": ["+experiment=x", "seed=1"], "state": "failed", "error": "why " * 60},
    ]
    screen.jobs(ended, lost=1)
    out, err = capsys.readouterr()
    assert [line.split(maxsplit=2) for line in out.splitlines()][1:] == [
        ["seed=0", "done", out.splitlines()[1].split(maxsplit=2)[2]],
        ["seed=1", "failed", out.splitlines()[2].split(maxsplit=2)[2]],
    ]
    assert out.splitlines()[1].rstrip().endswith(" a 0.5")
    assert out.splitlines()[2].rstrip().endswith("why " * 59 + "why")
    assert err == "error: 1 of 3 jobs ended without a result: their processes were killed\n"
    screen.jobs(ended[:1], lost=0)
    assert "+experiment=x seed=0" in capsys.readouterr().out
