"""Generation: the same bits whatever happens on the way; errors in one line; nothing made twice."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers import child, wait
from toy_simulation import Noise

from sciml.errors import RunError, UsageError
from sciml.simulation import apart, layout, store
from sciml.simulation.heat import Heat
from sciml.simulation.making import Made, Plan, forked, here
from sciml.simulation.store import begun, found, stored

HEAT: dict[str, Any] = {"points": 12, "modes": 4, "alpha": 1.0, "tau": 5.0, "nu": 0.02, "dt": 0.1, "frames": 3}


def on(jobs: int) -> store.Maker:
    def make(plan: Plan, chunks: Sequence[int], made: Made) -> None:
        forked(plan, chunks, made, jobs)

    return make


def noise(root: Path, make: store.Maker = here, n: int = 9, **settings: Any) -> Path:
    return stored(Noise(**settings), n, 3, root, make=make)


def chunks_in(log: Path) -> list[int]:
    return sorted(int(line.split()[1]) for line in log.read_text().splitlines())


class TestBits:
    def test_are_those_of_one_process_whatever_their_number(self, tmp_path: Path) -> None:
        files = [noise(tmp_path / f"{i}", make) for i, make in enumerate((here, on(1), on(2), on(7)))]
        assert len({file.read_bytes() for file in files}) == 1
        with h5py.File(files[0]) as file:
            fields = np.asarray(file["tensor"])
        expected = [Noise().samples(first, min(2, 9 - first), 3)["tensor"] for first in range(0, 9, 2)]
        np.testing.assert_array_equal(fields, np.concatenate(expected))

    def test_are_the_same_from_a_program_of_its_own(self, tmp_path: Path) -> None:
        def make(plan: Plan, chunks: Sequence[int], made: Made) -> None:
            apart.apart(plan, chunks, made)

        simulation = Heat(**HEAT)
        other = stored(simulation, 70, 0, tmp_path / "b", make=make)
        assert stored(simulation, 70, 0, tmp_path / "a", make=here).read_bytes() == other.read_bytes()

    def test_do_not_depend_on_what_a_run_has_set(self, tmp_path: Path) -> None:
        plain = noise(tmp_path / "a").read_bytes()
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        try:
            with torch.device("meta"):
                other = noise(tmp_path / "b").read_bytes()
            assert torch.get_num_threads() == 2
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_num_threads(1)
        assert other == plain

    @pytest.mark.parametrize("jobs", [0, 2])
    def test_are_the_same_after_a_kill_and_only_the_rest_is_made(self, tmp_path: Path, jobs: int) -> None:
        log, spared = tmp_path / "log", tmp_path / "spared"
        settings = {"dies": 5, "spared": str(spared), "log": str(log)}
        make = on(jobs) if jobs else here
        if jobs:  # a process that makes samples is killed
            with pytest.raises(RunError, match=r"killed by SIGKILL; if memory is short.*goes on from what is there"):
                noise(tmp_path / "a", make, **settings)
        else:  # the process that asked is
            assert wait(child(lambda: bool(noise(tmp_path / "a", make, **settings)) and None)) == -signal.SIGKILL
        before = chunks_in(log)
        kept = sorted(path.stem for path in tmp_path.glob("a/simulation/noise/*.parts/*.npz"))
        assert kept
        log.write_text("")
        spared.touch()
        file = noise(tmp_path / "a", make, **settings)
        assert chunks_in(log) == [c for c in range(0, 9, 2) if f"{c // 2:06d}" not in kept]
        assert before[0] == 0
        assert file.read_bytes() == noise(tmp_path / "b", here, **settings).read_bytes()
        assert [path.name for path in file.parents[1].iterdir()] == [file.parent.name], "no parts are left"

    def test_killing_the_one_that_asked_ends_those_that_make(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        settings = {"nap": 0.3, "log": str(log)}
        pid = child(lambda: bool(noise(tmp_path, on(2), n=60, **settings)) and None)
        while len(list(tmp_path.glob("simulation/noise/*.parts/*.npz"))) < 3:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        wait(pid)
        makers = {int(line.split()[0]) for line in log.read_text().splitlines()}
        assert len(makers) == 2
        deadline = time.monotonic() + 20
        while any(alive(maker) for maker in makers):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_parts_that_are_damaged_are_made_again(self, tmp_path: Path) -> None:
        with pytest.raises(RunError):
            noise(tmp_path / "a", fails=8)
        torn, changed = sorted(tmp_path.glob("a/simulation/noise/*.parts/*.npz"))[1:3]
        torn.write_bytes(torn.read_bytes()[:-40])
        bits = bytearray(changed.read_bytes())
        bits[len(bits) // 2] ^= 1
        changed.write_bytes(bits)

        def broken_once(plan: Plan, chunks: Sequence[int], made: Made) -> None:
            plan.simulation.fails = None  # type: ignore[attr-defined]
            here(plan, chunks, made)

        file = noise(tmp_path / "a", broken_once, fails=8)
        with h5py.File(file) as mine, h5py.File(noise(tmp_path / "b")) as theirs:
            np.testing.assert_array_equal(np.asarray(mine["tensor"]), np.asarray(theirs["tensor"]))

    def test_parts_of_other_versions_are_not_mixed_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = tmp_path / "log"
        with monkeypatch.context() as patch:
            patch.setattr(store, "version", lambda name: "0.0")
            with pytest.raises(RunError):
                noise(tmp_path, n=10, fails=6, log=str(log))
        with pytest.raises(RunError):
            noise(tmp_path, n=10, fails=6, log=str(log))
        assert chunks_in(log) == [0, 0, 2, 2, 4, 4, 6, 6]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


class TestOnce:
    def test_several_at_once_make_it_once(self, tmp_path: Path) -> None:
        log = tmp_path / "log"

        def ask() -> int:
            return int(not noise(tmp_path / "cache", log=str(log), nap=0.05).is_file())

        assert [wait(pid) for pid in [child(ask) for _ in range(4)]] == [0] * 4
        assert chunks_in(log) == [0, 2, 4, 6, 8]

    def test_one_that_waits_says_so(self, tmp_path: Path) -> None:
        class Waiting(store.Watch):
            said = 0

            def waiting(self) -> None:
                self.said += 1

        first = child(lambda: int(not noise(tmp_path, nap=0.2).is_file()))
        while not list(tmp_path.glob("simulation/noise/*.parts")):
            time.sleep(0.005)
        watch = Waiting()
        stored(Noise(nap=0.2), 9, 3, tmp_path, make=here, watch=watch)
        assert watch.said == 1
        assert wait(first) == 0

    def test_what_is_there_is_found_by_its_config(self, tmp_path: Path) -> None:
        node = {"_target_": "sciml.simulation.heat.Heat", **HEAT}
        assert found(tmp_path, node, 3, 0) is None
        file = stored(Heat(**HEAT), 3, 0, tmp_path, make=here)
        assert found(tmp_path, node, 3, 0) == file
        assert found(tmp_path, {**node, "alpha": 1}, 3, 0) == file
        for changed in ({"nu": 0.03}, {"_target_": "sciml.simulation.heat.Other"}, {"more": 1}):
            assert found(tmp_path, {**node, **changed}, 3, 0) is None
        assert found(tmp_path, node, 4, 0) is None
        assert found(tmp_path, node, 3, 1) is None
        record = file.with_name("entry.json")
        record.write_text(record.read_text().replace('"version": 1', '"version": 0'))
        assert found(tmp_path, node, 3, 0) is None

    def test_damage_is_not_found_and_made_again(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        file = stored(Heat(**HEAT), 3, 0, tmp_path, make=here)
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + b"?")
        assert found(tmp_path, {"_target_": "sciml.simulation.heat.Heat", **HEAT}, 3, 0) is None
        with caplog.at_level(logging.WARNING, "sciml"):
            assert stored(Heat(**HEAT), 3, 0, tmp_path, make=here).read_bytes() == whole
        assert caplog.text.count("is damaged (data does not match its checksum); it is made again") == 1

    def test_numbers_written_with_and_without_a_point_are_one_data_set(self, tmp_path: Path) -> None:
        files = {stored(Heat(**{**HEAT, "nu": nu}), 2, 0, tmp_path, make=here) for nu in (1, 1.0)}
        assert len(files) == 1


@pytest.mark.parametrize("make", [here, on(2)])
class TestRefused:
    def test_a_sample_that_is_not_finite_is_named(self, tmp_path: Path, make: store.Maker) -> None:
        with pytest.raises(RunError, match=r"^noise: sample 5 of seed 3 \(points=4 .*nan=5.*\): tensor is not finite"):
            noise(tmp_path, make, nan=5)
        assert not list(tmp_path.rglob("*.hdf5"))

    def test_an_exception_is_one_line(self, tmp_path: Path, make: store.Maker) -> None:
        with pytest.raises(RunError) as caught:
            noise(tmp_path, make, fails=2)
        assert str(caught.value).startswith("noise: samples 2 to 3 of seed 3 (points=4 ")
        assert str(caught.value).endswith("cannot be computed: ZeroDivisionError: a line and another")
        assert any("ZeroDivisionError" in note for note in getattr(caught.value, "__notes__", ["ZeroDivisionError"]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tensor": np.zeros((2, 4))}, r"tensor is float64 \(2, 4\), not float32 \(2, ..., 4\)"),
        ({"tensor": np.zeros((2, 5), np.float32)}, r"tensor is float32 \(2, 5\)"),
        ({"tensor": np.zeros((1, 4), np.float32)}, r"tensor is float32 \(1, 4\)"),
        ({}, "there are no arrays"),
    ],
)
def test_what_is_not_as_the_contract_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, np.ndarray], message: str
) -> None:
    monkeypatch.setattr(Noise, "samples", lambda *args: values)
    with pytest.raises(RunError, match=f"noise: samples 0 to 1 of seed 3 .*{message}"):
        noise(tmp_path)


def test_a_full_disk_is_one_line_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(layout, "write", full)
        with pytest.raises(RunError, match=r"^no space left to write .*; free some and run the same command again"):
            noise(tmp_path)
    (left,) = begun(tmp_path)
    assert (left.done, left.chunks, left.settings["n"], left.name) == (5, 5, 9, "simulation/noise")
    assert noise(tmp_path).is_file()
    assert not list(begun(tmp_path))


def test_processes_are_started_when_they_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[int]] = []

    def note(plan: Plan, chunks: Sequence[int], made: Made) -> None:
        given.append(list(chunks))
        here(plan, chunks, made)

    monkeypatch.setattr(apart, "apart", note)
    monkeypatch.setattr(apart, "cores", lambda: 2)
    noise(tmp_path / "a", apart.measured)
    assert given == []
    monkeypatch.setattr(apart, "PAYS", 0.0)
    noise(tmp_path / "b", apart.measured)
    assert given == [[1, 2, 3, 4]]


class TestLayout:
    def test_everything_that_the_numbers_come_from_is_in_the_file(self, tmp_path: Path) -> None:
        simulation = Heat(**HEAT)
        with h5py.File(stored(simulation, 5, 7, tmp_path, make=here)) as file:
            about = dict(file.attrs)
            assert {name: about[name] for name in HEAT} == HEAT
            assert json.loads(about["parameters"]) == HEAT
            assert (about["generator"], about["generator_version"]) == ("sciml.simulation.heat.Heat", 1)
            assert (about["n"], about["seed"], about["chunk"], list(about["periodic"])) == (5, 7, 64, [True])
            assert json.loads(about["versions"])["torch"] == torch.__version__
            # PDEBench's names, axes and types in one dimension.
            assert set(file) == {"tensor", "x-coordinate", "t-coordinate"}
            tensor: Any = file["tensor"]
            assert tensor.dtype == np.float32
            np.testing.assert_array_equal(tensor[:], simulation.samples(0, 5, 7)["tensor"])
            np.testing.assert_allclose(np.asarray(file["t-coordinate"]), [0, 0.1, 0.2])

    def test_values_without_a_number_can_be_parameters(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        given = {"none": None, "words": ["a", "b"], "sizes": [1, 2], "group": {"a": 1}, "flag": True, "law": "x"}
        layout.write(path, [{"u": np.ones((2, 3), np.float32)}], {}, given, {"n": 2})
        attributes, datasets = layout.contents(path)
        assert json.loads(attributes["parameters"]) == given
        assert attributes["none"] is None
        assert (attributes["words"], attributes["sizes"], attributes["group"]) == ('["a", "b"]', [1, 2], '{"a": 1}')
        assert datasets == {"u": "float32 (2, 3)"}
        layout.check(path)

    def test_a_parameter_cannot_take_the_place_of_the_seed(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="a simulation's parameter cannot be called seed"):
            layout.write(tmp_path / "a", [], {}, {"seed": 1}, {"n": 0})

    def test_a_changed_number_or_attribute_does_not_match(self, tmp_path: Path) -> None:
        file = stored(Heat(**HEAT), 2, 0, tmp_path, make=here)
        layout.check(file)
        for harm in (harm_number, harm_attribute):
            copy = tmp_path / "copy"
            copy.write_bytes(file.read_bytes())
            harm(copy)
            with pytest.raises(RunError, match="copy is damaged: its contents do not match its checksum"):
                layout.check(copy)

    @pytest.mark.parametrize("content", [b"", b"no HDF5", None])
    def test_what_is_no_file_of_ours_is_one_line(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "file"
        if content is None:
            with h5py.File(path, "w"):
                pass
        else:
            path.write_bytes(content)
        with pytest.raises(
            UsageError, match=r"file(: no HDF5 file|: an HDF5 file that cannot| holds no checksum: sciml data gen)"
        ):
            layout.check(path)
        with pytest.raises(UsageError, match="there is no file"):
            layout.check(tmp_path)


def harm_number(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        tensor: Any = file["tensor"]
        tensor[1, 2, 3] = np.nextafter(tensor[1, 2, 3], np.float32(9))


def harm_attribute(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["nu"] = 0.03
