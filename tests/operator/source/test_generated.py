from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import accepted

from sciml.folder import placed
from sciml.operator.source.generated import Generated
from sciml.simulation.heat import Heat

HEAT: dict[str, Any] = {"points": 12, "modes": 4, "alpha": 1.0, "tau": 5.0, "nu": 0.02, "dt": 0.1, "frames": 3}


def test_a_run_has_the_samples_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Heat(**HEAT).samples(0, 5, 2)["tensor"]
    with placed(tmp_path):
        for _ in range(2):
            recording = Generated(simulation=Heat(**HEAT), n=5, seed=2).read()
            assert recording.states.shape == (5, 3, 12, 1)
            np.testing.assert_array_equal(recording.states[1:4, 0:3][..., 0], expected[1:4])
            assert recording.times is not None
            np.testing.assert_allclose(recording.times, [0, 0.1, 0.2])
            assert (recording.periodic, recording.coefficients, recording.ends) == ((True,), None, True)
            np.testing.assert_allclose(recording.coordinates[0], np.arange(12) / 12)
            recording.close()
            monkeypatch.setattr(Heat, "samples", lambda *args: 1 / 0)  # the second time nothing is made
    assert len(list(tmp_path.glob(".data/simulation/heat/*/data.hdf5"))) == 1


def test_outside_of_a_run_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recording = Generated(simulation=Heat(**HEAT), n=2).read()
    assert recording.states.shape == (2, 3, 12, 1)
    assert list(tmp_path.iterdir())
    recording.close()
    assert not list(tmp_path.iterdir())


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Generated, n=0, seed=-1) == {}
