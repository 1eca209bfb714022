"""What the terminal shows, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path

import pytest
from helpers import request, run
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console

from sciml import progress
from sciml.run import execute
from sciml.stage import stage, stages


def shown(tmp_path: Path, *, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, no_color=True)
    execute(request(tmp_path, trainer={"max_steps": 20}), console)
    return text.getvalue()


def test_plain_lines_when_not_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(tmp_path, terminal=False).splitlines()
    assert len(lines) == 1  # the last step; a run of seconds needs no more
    assert re.fullmatch(
        r"mine/toy seed 0: step 20/20  loss \S+  fit \S+  zero \S+  held-out \S+  \d+ steps/s  0 s left", lines[0]
    )
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    steps = re.findall(r"step (\d+)/20", shown(tmp_path / "more", terminal=False))
    assert steps == ["5", "10", "15", "20"]


def test_bar_on_a_terminal_shows_terms_and_rate(tmp_path: Path) -> None:
    text = shown(tmp_path, terminal=True)
    assert "20/20" in text
    assert "steps/s" in text
    assert re.search(r"fit \d\.\d\de", text)


def test_failure_gives_the_terminal_back(tmp_path: Path) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with pytest.raises(Exception, match="the method broke"):
        execute(request(tmp_path, break_at=7), console)
    assert text.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text.getvalue()  # cursor shown again


def test_resumed_bar_counts_from_where_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import toy_package

    with monkeypatch.context() as patch:
        patch.setattr(toy_package.Toy, "test_step", lambda self, batch, i: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, trainer={"max_steps": 20})
    assert shown(tmp_path, terminal=False) == ""  # training was over: nothing to show but the result


@pytest.mark.parametrize("terminal", [False, True])
def test_a_test_says_what_it_is_at_while_it_goes_on(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.01)
    monkeypatch.setattr(progress, "TERMINAL_EVERY", 0.01)
    said = threading.Event()

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if "7 of 9" in text:
                said.set()
            return super().write(text)

    bar = progress.Bar(Console(file=(text := Heard()), force_terminal=terminal, width=120), "mine/toy seed 0")
    trainer, module = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False), LightningModule()
    done = 7
    bar.on_test_start(trainer, module)
    with stage("evaluation"), stage(lambda: f"[training {done} of 9]"):
        assert said.wait(60)
    bar.on_test_end(trainer, module)
    assert re.search(r"mine/toy seed 0: test, \d+ s, evaluation, \[training 7 of 9\]", text.getvalue())
    assert not any(thread.name == "progress" for thread in threading.enumerate())
    assert stages() == ""
