"""Every frame, sample and point is where it should be: states are numbers that say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.normalizer import Normalizer
from sciml.errors import ConfigError
from sciml.operator.base import Lazy, Split
from sciml.operator.dataset.recorded import Recorded
from sciml.operator.memory import _left, available
from sciml.operator.source.base import Index, Recording, Source
from sciml.operator.source.pdebench import PDEBench
from sciml.operator.stepper.base import chunks

N, T = 9, 12


class Spied:
    """An array that notes what is read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.reads = values, values.shape, []

    def __getitem__(self, index: Index) -> np.ndarray:
        self.reads.append(self.values[index].shape[:2])
        return self.values[index].copy()


class Made(Source):
    """States ``sample * 1e4 + time * 100 + x``; a second channel with the sign changed."""

    def __init__(self, points: int = 6, *, n: int = N, times: int = T, given: bool = False, **about: Any) -> None:
        sample, time, x = np.meshgrid(np.arange(n), np.arange(times), np.arange(points), indexing="ij")
        u = (sample * 1e4 + time * 100 + x).astype(np.float32)
        self.states = Spied(np.stack([u, -u], axis=-1))
        self.given = Spied(u[:, 0, :, None] + 0.5) if given else None
        self.about = {"periodic": (True,), "times": np.arange(times) * 0.25, **about}
        self.closed = 0

    def read(self) -> Recording:
        def close() -> None:
            self.closed += 1

        x = (np.arange(self.states.shape[2], dtype=np.float64),)
        return Recording(
            name="made", states=self.states, coefficients=self.given, coordinates=x, close=close, **self.about
        )


def recorded(source: Source | None = None, **parameters: Any) -> Recorded:
    return Recorded(**{"source": source or Made(), "n_train": 5, "n_val": 2, "n_test": 2, **parameters})


def examples(
    samples: range, starts: range, history: int, steps: int, stride: int, points: slice
) -> tuple[Tensor, Tensor]:
    """The same, one example at a time."""
    u = torch.from_numpy(Made().states.values)[:, :, points]
    inputs, targets = [], []
    for i in samples:
        for start in starts:
            frames = [u[i, start + k * stride] for k in range(history + steps)]
            inputs.append(torch.cat(frames[:history], dim=-1))
            targets.append(torch.stack(frames[history:]))
    return torch.stack(inputs), torch.stack(targets)


def check(split: Split, expected: tuple[Tensor, Tensor]) -> None:
    u, target = expected
    assert tuple(split.input.shape) == u.shape
    assert tuple(split.target.shape) == target.shape
    whole = split.whole()
    assert torch.equal(whole.input, u)
    assert torch.equal(whole.target, target)
    generator = torch.Generator().manual_seed(0)
    for index in (torch.randint(len(u), (7,), generator=generator), torch.arange(len(u)).flip(0), slice(1, None, 3)):
        taken = split.take(index)
        assert torch.equal(taken.input, u[index])
        assert torch.equal(taken.target, target[index])
    batches = list(split.batches(4))
    assert torch.equal(torch.cat([batch.target for batch in batches]), target)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("history", "steps", "test_steps", "time_stride", "window_stride", "stride"),
    [
        (1, 1, 8, 1, 1, 1),
        (2, 3, 4, 1, 1, 2),
        (3, 2, 2, 2, 3, 1),
        (1, 1, 1, 11, 1, 3),
        (4, 8, 8, 1, 1, 1),
        (1, 2, 3, 3, 2, 1),
    ],
)
def test_windows_are_what_a_loop_makes(
    history: int, steps: int, test_steps: int, time_stride: int, window_stride: int, stride: int, in_memory: bool
) -> None:
    data = recorded(
        history=history,
        steps=steps,
        test_steps=test_steps,
        time_stride=time_stride,
        window_stride=window_stride,
        stride=stride,
        in_memory=in_memory,
    )
    splits = data.splits()
    window = {"history": history, "stride": time_stride, "points": slice(None, None, stride)}
    last = T - (history + steps - 1) * time_stride  # starts of training windows are below
    check(splits["train"], examples(range(5), range(0, last, window_stride), steps=steps, **window))
    check(splits["val"], examples(range(5, 7), range(0, last, steps * time_stride), steps=steps, **window))
    check(splits["test"], examples(range(7, 9), range(1), steps=test_steps, **window))
    assert (data.in_channels, data.out_channels, data.grid) == (2 * history, 2, (len(range(6)[::stride]),))
    assert data.dt == 0.25 * time_stride


def test_windows_share_the_frames_they_overlap_in() -> None:
    split = recorded(history=2, steps=3, in_memory=True).splits()["train"]
    assert isinstance(split.input, Lazy)
    assert isinstance(split.target, Lazy)
    assert split.input.windows is split.target.windows
    assert split.input.windows.trajectories.rows.numel() == 5 * T * 6 * 2


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_steady_problem_maps_coefficients_to_the_solution(in_memory: bool) -> None:
    source = Made(times=1, given=True)
    data = recorded(source, history=0, in_memory=in_memory, stride=2)
    assert (data.in_channels, data.out_channels, data.dt) == (1, 2, None)
    u = torch.from_numpy(source.states.values)[:, :, ::2]
    assert source.given is not None
    a = torch.from_numpy(source.given.values)[:, ::2]
    splits = data.splits()
    for split, samples in (("train", slice(0, 5)), ("val", slice(5, 7)), ("test", slice(7, 9))):
        check(splits[split], (a[samples], u[samples]))


def test_a_smaller_training_set_leaves_the_others_what_they_are() -> None:
    small, large = (recorded(n_train=n).splits() for n in (2, None))
    assert torch.equal(small["val"].whole().input, large["val"].whole().input)
    assert torch.equal(small["test"].whole().input, large["test"].whole().input)
    assert (small["train"].n, large["train"].n) == (2 * (T - 1), 5 * (T - 1))


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_fine_test_has_the_same_samples(in_memory: bool) -> None:
    splits = recorded(Made(12), stride=4, fine_stride=2, test_steps=3, in_memory=in_memory).splits()
    coarse, fine = splits["test"].whole(), splits["test_fine"].whole()
    assert fine.input.shape[1] == 6
    assert torch.equal(fine.input[:, ::2], coarse.input)
    assert torch.equal(fine.target[:, :, ::2], coarse.target)


@pytest.mark.parametrize(
    ("points", "periodic", "ends", "stride", "left"),
    [(12, True, True, 3, 4), (13, False, True, 3, 5), (12, False, False, 3, 4), (421, False, True, 5, 85)],
)
def test_a_stride_keeps_the_domain(points: int, periodic: bool, ends: bool, stride: int, left: int) -> None:
    source = Made(points, n=3, times=2, periodic=(periodic,), ends=ends)
    assert recorded(source, n_train=1, n_val=1, n_test=1, stride=stride).grid == (left,)
    with pytest.raises(ConfigError, match=rf"operator.dataset.stride is 11.* has {points} points .* must divide"):
        recorded(source, n_train=1, n_val=1, n_test=1, stride=11)
    assert source.closed == 1


def test_further_tests_and_validation_have_sources_of_their_own() -> None:
    other = Made(12, n=4)
    data = recorded(n_train=None, n_val=None, n_test=None, val=Made(n=3), tests={"test": Made(n=2), "test_wide": other})
    splits = data.splits()
    assert [splits[name].n for name in ("train", "test", "test_wide")] == [N * (T - 1), 2, 4]
    assert splits["val"].n == 3 * (T - 1)
    assert tuple(splits["test_wide"].input.shape) == (4, 12, 2)
    few = recorded(n_test=1, tests={"test_wide": Made(12, n=4)}).splits()
    assert [few[name].n for name in ("train", "test", "test_wide")] == [5 * (T - 1), 1, 1]


def test_what_does_not_fit_is_read_when_it_is_asked_for() -> None:
    fits, does_not = Made(), Made()
    assert isinstance(recorded(fits, steps=11).splits()["train"].input, Tensor)
    splits = recorded(does_not, steps=11, memory_share=1e-12).splits()
    assert isinstance(splits["train"].input, Lazy)
    assert (fits.closed, does_not.closed) == (1, 0)
    assert does_not.states.reads == []


@pytest.mark.parametrize(("history", "steps"), [(2, 3), (3, 9), (1, 11), (0, 1)])
def test_what_it_takes_is_known_before(history: int, steps: int) -> None:
    source = Made() if history else Made(times=1, given=True)
    part = recorded(source, history=history, steps=steps)._parts(source.read(), [])["train"]
    if isinstance((split := part.resident()).input, Lazy):
        tensors = [split.input.windows.trajectories.rows]
    else:
        tensors = list(split)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    assert sum(storages.values()) == part.bytes()


def test_neighbours_are_read_at_once_and_nothing_twice() -> None:
    source = Made()
    split = recorded(source, history=1, steps=2, in_memory=False).splits()["train"]
    per_sample = T - 2
    index = torch.tensor([3, 1, 2, per_sample + 7, per_sample + 0, 3 * per_sample + 7, 4 * per_sample + 7])
    split.take(index)  # frames 1-5 of sample 0, 7-9 and 0-2 of sample 1, 7-9 of samples 3 and 4
    assert sorted(source.states.reads) == [(1, 3), (1, 3), (1, 5), (2, 3)]


@pytest.mark.parametrize("in_memory", [True, False])
def test_splits_from_a_file(tmp_path: Path, in_memory: bool) -> None:
    u = Made().states.values[..., 0]
    with h5py.File(tmp_path / "u.hdf5", "w") as file:
        file.create_dataset("tensor", data=u, chunks=(1, 4, 6), compression="gzip")
        file["x-coordinate"], file["t-coordinate"] = np.arange(6.0), np.arange(T) * 0.5
    source = PDEBench(path=str(tmp_path / "u.hdf5"), periodic=True)
    data = recorded(source, history=2, steps=2, stride=3, in_memory=in_memory)
    assert data.dt == 0.5
    for _ in range(2):  # a second call reads again
        u_in, target = data.splits()["test"].whole()
        assert torch.equal(u_in, torch.from_numpy(u[7:, :2, ::3]).movedim(1, -1))
        assert torch.equal(target[..., 0], torch.from_numpy(u[7:, 2:4, ::3]))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"n_train": 6}, r"made has 9 samples, not the 6 \+ 2 \+ 2 of n_train, n_val and n_test"),
        ({"n_train": None, "n_val": 7}, r"made has 9 samples, not the 1 \+ 7 \+ 2"),
        ({"n_val": None}, "n_val: how many samples"),
        ({"n_test": None}, "n_test: how many samples"),
        ({"history": 0}, "history is 0, but made has no coefficients"),
        ({"history": 0, "source": Made(given=True)}, "for steady problems: made has 12 frames"),
        ({"tests": {"fine": Made()}}, r"tests\.fine: a test is called test or test_"),
        ({"fine_stride": 1, "tests": {"test_fine": Made()}}, "fine_stride: .* goes neither with"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"operator.dataset.*{says}"):
        recorded(**parameters)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"steps": 12}, "made has 12 frames, not the 13 for 1 frames in and 12 out, 1 apart"),
        ({"test_steps": 4, "time_stride": 3}, "made has 12 frames, not the 13 for 1 frames in and 4 out, 3 apart"),
        (
            {"tests": {"test_wall": Made(periodic=(False,))}},
            "tests.test_wall: made has .* none closes, made .* 1 closes",
        ),
    ],
)
def test_what_does_not_go_together_is_said(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        recorded(**parameters).splits()


def test_other_time_steps_do_not_go_together() -> None:
    slow = Made()
    slow.about["times"] = np.arange(T) * 0.5
    with pytest.raises(ConfigError, match=r"tests\.test_slow: made has a frame every 0\.5, made every 0\.25"):
        recorded(tests={"test_slow": slow}).splits()
    assert slow.closed == 1


def test_a_control_group_limits_what_is_free(tmp_path: Path) -> None:
    assert _left(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    assert _left(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 200\n")
    assert _left(tmp_path) == 500
    assert available() > 2**20


def test_statistics_do_not_need_the_whole_split() -> None:
    split = recorded(history=2, in_memory=False).splits()["train"]
    for part, whole in zip(("input", "target"), split.whole(), strict=True):
        chunked, at_once = Normalizer(whole.shape[-1]), Normalizer(whole.shape[-1])
        chunked.fit(chunks(split, part))
        at_once.fit(whole)
        torch.testing.assert_close(chunked.mean, at_once.mean)
        torch.testing.assert_close(chunked.std, at_once.std)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Recorded, n_train=0, history=-1, steps=0, stride=0) == {}
