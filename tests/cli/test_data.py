"""``sciml data``: at the prompt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
from helpers import USER

from sciml.cli.data import complete_equation, complete_kept, complete_setting
from sciml.cli.generate import generate

SMALL = ("points=12", "modes=4", "frames=2")
NOISE = ("--config-dir", str(USER / "conf"), "--trust", "toy_simulation")


@pytest.fixture
def data(sciml: Callable[..., Any], outputs: Path) -> Callable[..., Any]:
    """``sciml data generate`` into this test's outputs."""
    return lambda *args: sciml("data", "generate", *args, "--outputs", str(outputs))


def test_made_once_then_found(data: Callable[..., Any], outputs: Path) -> None:
    first = data("heat", "n=3", "seed=4", *SMALL)
    assert first.code == 0, first
    file = Path(first.out.strip())
    assert file.parents[3] == outputs / ".data"
    assert first.err.splitlines()[-1].startswith("heat: 3 samples of seed 4, ")
    assert first.err.endswith("made\n")
    with h5py.File(file) as stored:
        assert (stored.attrs["n"], stored.attrs["seed"], stored.attrs["points"]) == (3, 4, 12)
    again = data("heat", "n=3", "seed=4", *SMALL)
    assert again.out == first.out
    assert again.err.endswith("found, not made again\n")
    other = data("heat", "n=3", *SMALL)
    assert other.out != first.out


def test_what_is_there_is_found_without_torch(data: Callable[..., Any], outputs: Path) -> None:
    data("heat", "n=3", *SMALL)
    code = (
        "import sys; from sciml.cli.main import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'lightning' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "data", "generate", "heat", "n=3", *SMALL, "--outputs", str(outputs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "0 False False"
    assert "found, not made again" in ended.stderr


def test_a_copy_is_whole_and_says_what_made_it(
    data: Callable[..., Any], sciml: Callable[..., Any], tmp_path: Path
) -> None:
    copy = tmp_path / "new" / "heat.hdf5"
    made = data("heat", "n=2", "nu=0.5", *SMALL, "--out", str(copy))
    assert made.out == f"{copy}\n"
    shown = sciml("data", "show", str(copy)).out
    for line in ("  tensor        float32 (2, 2, 12)", "  nu      0.5", "  seed               0"):
        assert line in shown.splitlines(), shown
    assert "sciml.simulation.heat.Heat" in shown
    whole = sciml("data", "check", str(copy))
    assert (whole.code, whole.out, whole.err) == (0, f"{copy}: whole\n", "")
    with h5py.File(copy, "r+") as file:
        file.attrs["nu"] = 0.4
    ended = sciml("data", "check", str(copy), str(tmp_path / "none"))
    assert ended.code == 2
    assert ended.err.splitlines() == [
        f"error: {copy} is damaged: its contents do not match its checksum",
        f"error: there is no file {tmp_path / 'none'}",
    ]


def test_a_file_of_others_is_shown_too(sciml: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["0001/data"] = [1.0, 2.0]
        file.attrs["Nu"] = 0.1
    shown = sciml("data", "show", str(path)).out
    assert shown == "datasets\n  0001/data  float64 (2,)\nattributes\n  Nu  0.1\n"
    path.write_text("no")
    ended = sciml("data", "show", str(path))
    assert (ended.code, ended.err) == (2, f"error: {path}: no HDF5 file\n")


def test_listing_has_what_is_there_and_what_was_begun(
    data: Callable[..., Any], sciml: Callable[..., Any], outputs: Path
) -> None:
    assert "there is no data in" in sciml("data", "list", "--outputs", str(outputs)).err
    data("heat", "n=3", *SMALL)
    failed = data("noise", "n=9", "fails=4", "--jobs", "1", *NOISE)
    assert failed.code == 1
    head, heat, noise = sciml("data", "list", "--outputs", str(outputs)).out.splitlines()
    assert head.split() == ["data", "n", "seed", "size", "parameters", "file"]
    assert heat.split()[:3] == ["heat", "3", "0"]
    assert "points=12 modes=4 alpha=1.0" in heat
    assert noise.split()[:3] == ["noise", "9", "0"]
    assert noise.rstrip().endswith(".parts  (2 of 5 parts)")


def test_what_is_listed_can_be_removed(
    data: Callable[..., Any], sciml: Callable[..., Any], outputs: Path, tmp_path: Path
) -> None:
    heat, other = (Path(data("heat", "n=3", f"seed={seed}", *SMALL).out.strip()) for seed in (0, 1))
    data("noise", "n=9", "fails=4", "--jobs", "1", *NOISE)
    (begun,) = outputs.glob(".data/simulation/noise/*.parts")
    ctx = SimpleNamespace(params={"outputs": str(outputs)})
    assert sorted(complete_kept(ctx, str(outputs))) == sorted(map(str, (heat, other, begun)))
    place = ("--outputs", str(outputs))

    mistake = sciml("data", "remove", str(heat), str(tmp_path / "mine.hdf5"), *place)
    assert (mistake.code, mistake.out) == (2, "")
    assert mistake.err == (
        f"error: {tmp_path / 'mine.hdf5'} is none of the data kept in {outputs}; nothing is removed\n"
    )
    assert sciml("data", "remove", *place).code == 2
    assert heat.exists()

    ended = sciml("data", "remove", str(heat), "--begun", *place)
    assert ended.code == 0, ended
    assert [line.split(", ")[0] for line in ended.out.splitlines()] == [f"removed {heat}", f"removed {begun}"]
    assert (heat.parent.exists(), begun.exists(), other.exists()) == (False, False, True)
    assert sciml("data", "remove", "--begun", *place).err == "nothing was begun and not ended\n"


def test_equations_are_listed(sciml: Callable[..., Any]) -> None:
    ended = sciml("data", "generate", *NOISE)
    assert ended.code == 0
    names = [line.split()[0] for line in ended.out.splitlines()]
    assert {"equation", "heat", "advection", "noise"} <= set(names)
    assert "points=4 nap=0.0" in ended.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["haet"], "there is no equation haet; did you mean heat?\n  available: advection, "),
        (["heat", "pionts=3"], "there is no setting pionts of heat; did you mean points?"),
        (["heat", "sed=3"], "there is no setting sed of heat; did you mean seed?"),
        (["heat", "zzz=3"], "there is no setting zzz of heat\n  settings: n, seed, points, modes, "),
        (["heat", "_target_=os.system"], "there is no setting _target_ of heat"),
        (["heat", "n=0"], "bad value for n: 0 is not a whole number of at least 1 and at most 2147483647"),
        (["heat", "n=1.5"], "bad value for n: 1.5 is not a whole number"),
        (["heat", "seed=-1"], "bad value for seed: -1 is not a whole number of at least 0 and at most "),
        (["heat", "points=abc"], "bad value for points: 'abc' is not a whole number of at least 1\n"),
        (["heat", "points=3"], "heat: points is 3; it must be more than 2 * modes, which is 16"),
        (["heat", "n=1,2"], "n=1,2: a data set has one value of each setting"),
        (["heat", "~nu"], "~nu: a setting of a simulation cannot be taken out"),
        (["heat", "nu"], "cannot read the override nu\n"),
        (["heat", "nu=${missing}"], "nu refers to missing, which is not there"),
        (["noise", "-c", str(USER / "conf")], "_target_ toy_simulation.Noise is not trusted; allowed are sciml.*"),
        (["heat", "-c", "nowhere"], "there is no config folder nowhere"),
        (["noise", "-c", "mine"], "_target_ sciml.equation.heat.Heat is not a simulation (from "),
        (["empty", "-c", "mine"], "{mine}/simulation/empty.yaml names no class: its _target_ is missing"),
        (["short", "-c", "mine"], "points is missing: Heat needs it (from {mine}/simulation/short.yaml)"),
    ],
)
def test_mistakes_are_one_line(
    data: Callable[..., Any], mine: Callable[..., str], outputs: Path, args: list[str], message: str
) -> None:
    folder = mine(
        simulation__noise="_target_: sciml.equation.heat.Heat\nnu: 1.0\n",
        simulation__empty="points: 3\n",
        simulation__short="_target_: sciml.simulation.heat.Heat\n",
    )
    ended = data(*[folder if arg == "mine" else arg for arg in args])
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith(f"error: {message.format(mine=folder) if '{mine}' in message else message}"), ended.err
    assert not outputs.exists()


def test_what_goes_wrong_is_one_line_and_says_where(
    data: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = data("noise", "n=4", "nan=3", *NOISE)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith("error: noise: sample 3 of seed 0 (points=4 ")
    monkeypatch.setenv("SCIML_TRACE", "1")
    noise = ("noise", ["n=4", "fails=3"], None)
    for jobs in (1, 2):
        assert generate(*noise, jobs, str(outputs), NOISE[1], ["toy_simulation"]) == 1
        assert 'raise ZeroDivisionError("a line' in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(sciml: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = sciml("data", "generate", "heat", "n=2", *SMALL, "--outputs", str(tmp_path / "file"))
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"error: cannot write {tmp_path / 'file'}")
    ended = sciml("data", "generate", "heat", "n=2", *SMALL, "--out", str(tmp_path))
    assert (ended.code, ended.err) == (2, f"error: --out {tmp_path} is a folder: name a file in it\n")


def test_ctrl_c_keeps_what_is_there_and_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-m",
        "sciml.cli",
        "data",
        "generate",
        "noise",
        *NOISE,
        "--jobs",
        "2",
        "n=200",
        "nap=0.2",
    ]
    process = subprocess.Popen(
        [*command, f"log={log}", "--outputs", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(USER)},
    )
    try:
        while len(list(tmp_path.glob(".data/simulation/noise/*.parts/*.npz"))) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert process.stderr is not None
    with process.stderr as err:
        assert err.read() == "interrupted; the same command goes on from the samples that are there\n"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    parts = list(tmp_path.glob(".data/simulation/noise/*.parts/*"))
    assert all(path.suffix in (".npz", ".json") or path.name.startswith(".") for path in parts)


def test_completion_knows_equations_and_their_settings() -> None:
    def ctx(**params: str) -> Any:
        return SimpleNamespace(params=params)

    assert complete_equation(ctx(), "hea") == ["heat"]
    assert complete_equation(ctx(config_dir=NOISE[1]), "noi") == ["noise"]
    assert list(complete_setting(ctx(equation="heat"), "n")) == ["n=", "nu="]
    assert "seed=" in complete_setting(ctx(equation="heat"), "")


def test_a_run_stops_while_its_data_are_made_and_goes_on_from_there(train: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = [
        "+experiment=baseline/heat",
        "operator/dataset=recorded",
        "operator/source@operator.dataset.source=generated",
        "simulation@operator.dataset.source.simulation=noise",
        "operator.dataset.source.n=12",
        f"+operator.dataset.source.simulation.log={log}",
        "+operator.dataset.source.simulation.stops=4",
        *(f"operator.dataset.{key}" for key in ("n_train=8", "n_val=2", "n_test=2", "history=1")),
        *("operator.batch_size=4", "network.modes=2", "trainer.max_steps=1"),
        *NOISE,
    ]
    stopped = train(*settings)
    assert stopped.code == 143, stopped
    assert "stopped by signal 15; go on with: sciml resume " in stopped.err
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["0", "2", "4"]
    log.write_text("")
    done = train(*settings)
    assert done.code == 0, done
    assert "noise: 6 of 12 samples are there already" in done.err
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["6", "8", "10"]
