"""How the processes of one run find each other, tell each other how it stands, and end together.

They have been started together (:mod:`sciml.place`), or rank 0 of a run on one node starts the others itself.
Rank 0 owns the folder, the terminal and the row; the others follow. They speak through a small key-value store
that rank 0 holds, beside the group that sums the gradients:

=========  ==========================================================================
``go``     rank 0 begins, with what the others must know; or will not, with its exit code
``end``    rank 0 has ended, with its exit code
``failed`` why another rank cannot go on
``left``   how many of the others need the store no longer
=========  ==========================================================================
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore

from sciml.errors import ConfigError, RunError, Stopped, UsageError
from sciml.parallel import Ranks, together
from sciml.place import Place
from sciml.rank import start
from sciml.signals import StopSignal, exit_code

PATIENCE = 300.0  # seconds that processes wait for each other to appear
PARTING = 15.0  # seconds that rank 0 waits for the others to end
_POLL = 0.02
_met: set[tuple[str, int]] = set()  # where this process has met others before


class Meeting:
    """The processes of one run, as a context: entered by all of them, left by all of them.

    Args:
        size: How many the run's config asks for.
        spot: Where this process stands; None if the run starts its other processes itself.
        stop: Signals that are being watched.
        folder: The run folder, for a signal that comes before the others do.
    """

    def __init__(self, size: int, spot: Place | None, stop: StopSignal, folder: str = "") -> None:
        self.spot, self.stop, self._folder = spot, stop, folder
        self.ranks = Ranks(spot.rank if spot else 0, size, explain=self._explain)
        self._children: list[subprocess.Popen[bytes]] = []
        self._store: PrefixStore | None = None
        self._served: TCPStore | None = None
        self._told: set[str] = set()
        self._present = ExitStack()  # holds the group open for the modules

    @property
    def local_rank(self) -> int:
        """Which of the processes on its node this is."""
        return self.spot.local_rank if self.spot else 0

    @property
    def follows(self) -> bool:
        """Whether another process owns the run."""
        return self.ranks.rank > 0

    def __enter__(self) -> Meeting:
        if self.spot is not None and self.ranks.size > 1:
            self._open(self.spot.host, self.spot.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is None:
            return
        if self.follows:
            self._part(error)
            return
        code = _code(error)
        try:
            self._tell("go", {"code": code})  # if it has not begun, it will not
            self._tell("end", {"code": code})
            self._present.close()
            if error is None or not torch.cuda.is_available():  # where a GPU is at work, only the process's end ends it
                self._disband()
            left = lambda: self._known().add("left", 0) >= self.ranks.size - 1  # noqa: E731
            self._until(left, PARTING if error is None else 2.0)
        except (RuntimeError, RunError):
            pass  # nobody is there to be told
        for process in self._children:
            try:
                process.wait(PARTING if error is None else 1.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._children, self._store, self._served = [], None, None

    def begin(self, request: Mapping[str, Any], word: Mapping[str, Any]) -> None:
        """Rank 0: have the others here, and tell them what they must know to go along.

        Args:
            request: What a process that is started here needs to take part, as plain data.
            word: What :meth:`wait` returns in the other processes.

        Raises:
            RunError: A process did not come.
            Stopped: A signal came first.
        """
        if self.ranks.size == 1:
            return
        if self._store is None:
            self._open("127.0.0.1", 0)
            assert self._served is not None
            for rank in range(1, self.ranks.size):
                self._children.append(start(rank, self.ranks.size, self._served.port, request))
        come = lambda: self._known().add("here", 0) >= self.ranks.size - 1  # noqa: E731
        if not self._until(come, PATIENCE):
            raise RunError(f"not all of the {self.ranks.size} processes came within {PATIENCE:.0f} s")
        self._tell("go", {"code": None, **word})
        self._group()

    def wait(self) -> dict[str, Any]:
        """The others: what rank 0 says when it begins.

        Raises:
            SystemExit: It will not, and this is its exit code.
        """
        store = self._known()
        store.add("here", 1)
        while not store.check(["go"]):
            time.sleep(_POLL)
        word = json.loads(store.get("go"))
        if word["code"] is not None:
            raise SystemExit(word["code"])
        self._group()
        return word

    def end(self) -> int:
        """The others: wait until rank 0 has tested and filed the row; its exit code."""
        store = self._known()
        while not store.check(["end"]):
            time.sleep(_POLL)
        return json.loads(store.get("end"))["code"]

    def after_fit(self) -> None:
        """Have every rank know of a signal that any of them received, and take the group down: the rest is rank 0's."""
        if self.ranks.size > 1:
            self.stop.signum = self.ranks.highest(self.stop.signum or 0) or None
            self._disband()

    def _open(self, host: str, port: int) -> None:
        if (host, port) in _met:
            raise ConfigError("a launcher's processes make one run together; start each run of a sweep by itself")
        if port:
            _met.add((host, port))
        served = not self.follows and (port == 0 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True")
        try:
            store = TCPStore(
                host, port, None, served, wait_for_workers=False, timeout=timedelta(seconds=PATIENCE)
            )  # fmt: skip
        except RuntimeError as error:
            what = "listen on" if served else "reach"
            raise RunError(f"process {self.ranks.rank} cannot {what} {host}:{port}: {_line(error)}") from error
        self._served = store
        self._store = PrefixStore(f"sciml/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

    def _group(self) -> None:
        if sys.platform == "linux" and (self.spot is None or self.spot.host == "127.0.0.1"):
            # Names of one's own machine resolve to anything, on clusters and in containers.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(
                backend, store=PrefixStore("group", self._known()), rank=self.ranks.rank, world_size=self.ranks.size
            )
        except RuntimeError as error:
            raise self._explain(error) from error
        self._present.enter_context(together(self.ranks))

    def _disband(self) -> None:
        self._present.close()
        if dist.is_initialized():
            dist.destroy_process_group()

    def _known(self) -> PrefixStore:
        assert self._store is not None
        return self._store

    def _tell(self, key: str, word: Mapping[str, Any]) -> None:
        if key not in self._told:
            self._told.add(key)
            self._known().set(key, json.dumps(dict(word)))

    def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not true():
            if self._store is not None and self._store.check(["failed"]) and "end" not in self._told:
                raise self._explain(RunError("a process failed"))
            for i, process in enumerate(self._children):
                if process.poll() and "end" not in self._told:
                    raise RunError(f"process {i + 1} of the run ended with code {process.returncode}")
            if self.stop.signum is not None and "end" not in self._told:
                raise Stopped(self.stop.signum, self._folder)
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)
        return True

    def _explain(self, error: Exception) -> Exception:
        """What a broken connection means: another rank has said why, or it is gone without a word."""
        store = self._known()
        key, end = "end" if self.follows else "failed", time.monotonic() + 5.0
        try:
            while time.monotonic() < end:
                if store.check([key]):
                    word = json.loads(store.get(key))
                    return _Over(word["code"]) if self.follows else _failure(word)
                time.sleep(_POLL)
        except RuntimeError:
            return _Over(1)  # rank 0 itself is gone, and its store with it
        gone = next((i + 1 for i, child in enumerate(self._children) if child.poll() is not None), None)
        who = "another process" if gone is None else f"process {gone}"
        return RunError(f"{who} of the run is gone (killed, or out of memory?): {_line(error)}")

    def _part(self, error: BaseException | None) -> None:
        try:
            if error is not None and not isinstance(error, (SystemExit, _Over)):
                trace = "".join(traceback.format_exception(error))
                word = {"rank": self.ranks.rank, "kind": type(error).__name__, "error": str(error), "trace": trace}
                self._tell("failed", word)
            self._disband()
            self._known().add("left", 1)
        except RuntimeError:
            pass  # rank 0 is gone
        self._store = self._served = None


class _Over(Exception):
    """Rank 0 has ended, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Elsewhere(Exception):
    """Carries the trace of another process into this one's."""


def _failure(word: Mapping[str, Any]) -> RunError:
    known = {"RunError", "Diverged", "ConfigError", "UsageError"}
    message = word["error"] if word["kind"] in known else f"{word['kind']}: {word['error']}"
    failed = RunError(f"process {word['rank']} of the run: {message}")
    failed.__cause__ = _Elsewhere(f"\n{word['trace']}")
    return failed


def _code(error: BaseException | None) -> int:
    if isinstance(error, Stopped):
        return exit_code(error.signum)
    return (
        0
        if error is None
        else 2
        if isinstance(error, UsageError)
        else 130
        if isinstance(error, KeyboardInterrupt)
        else 1
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@contextmanager
def following(meeting: Meeting) -> Iterator[None]:
    """Turn whatever happens to a process that follows into its exit code: rank 0 does the talking.

    Raises:
        SystemExit: Always.
    """
    try:
        with meeting:
            yield
            code = meeting.end()
    except _Over as over:
        code = over.code
    except Exception:  # noqa: BLE001 - whatever it was, rank 0 has been told
        code = 1
    raise SystemExit(code)
