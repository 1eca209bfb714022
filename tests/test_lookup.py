"""Which run a user means."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciml.errors import UsageError
from sciml.lookup import find


def test_find_by_folder_file_or_part_of_the_path(tmp_path: Path) -> None:
    for name in ("a/b/0000000000-seed0", "a/b/0000000000-seed1", "c/d/1111111111-seed0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("")
    wanted = tmp_path / "c/d/1111111111-seed0"
    for text in (str(wanted), str(wanted / "config.yaml"), "1111", "c/d"):
        assert find(text, tmp_path).path == wanted
    with pytest.raises(UsageError, match=r"0000000000 fits 2 runs: .*seed0, .*seed1"):
        find("0000000000", tmp_path)
    with pytest.raises(UsageError, match=r"there is no run c/d/1111111112-seed0; did you mean c/d/1111111111-seed0"):
        find("c/d/1111111112-seed0", tmp_path)
    with pytest.raises(UsageError, match="holds no runs"):
        find("x", tmp_path / "c/d/1111111111-seed0/none")


def test_of_several_seeds_the_one_that_is_asked_for(tmp_path: Path) -> None:
    for seed in (1, 2, 11):
        (tmp_path / f"a/b/0000000000-seed{seed}").mkdir(parents=True)
        (tmp_path / f"a/b/0000000000-seed{seed}/config.yaml").write_text("")
    assert find("a/b", tmp_path, seed=1).path.name == "0000000000-seed1"
    with pytest.raises(UsageError, match="fits 3 runs"):
        find("a/b", tmp_path, seed=3)
