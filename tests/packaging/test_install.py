"""The distribution from a wheel, an sdist and an editable install, each seen from an empty folder.

The environments hold sciml and links to the libraries of the running one, so nothing is fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "COVERAGE"))}


def call(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def built(kind: str, tree: Path, target: Path) -> Path:
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    output = call(sys.executable, "-c", code, target, cwd=tree)
    assert "Package would be ignored" not in output
    (file,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return file


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources without what earlier builds have left among them."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("sciml", "cli", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tree, tmp_path_factory.mktemp("wheel"))


def environment(folder: Path, *install: str | Path) -> Path:
    """A fresh environment with sciml in it; its folder of commands."""
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    own = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for item in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if item.suffix != ".pth" and not item.name.startswith(("sciml", "__editable__", "__pycache__", "pip")):
            (own / item.name).symlink_to(item)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet"]
    call(*pip, "--no-index", "--no-deps", "--no-build-isolation", *install, cwd=folder.parent)
    return folder / "bin"


def look_at(commands: Path, empty: Path, home: Path, tree: Path) -> None:
    """Hold an installation against what every installation must do."""
    where = call(commands / "python", "-c", "import sciml.cli.main; print(sciml.cli.main.__file__)", cwd=empty)
    assert Path(where.strip()).is_relative_to(home)
    assert "train" in call(commands / "sciml", "--help", cwd=empty)
    experiments = call(commands / "sciml", "list", "experiments", cwd=empty)
    for path in (tree / "conf/experiment").rglob("*.yaml"):
        assert path.relative_to(tree / "conf/experiment").with_suffix("").as_posix() in experiments
    for name in ("cli", "conf"):
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is not None)"
        call(commands / "python", "-c", code, cwd=empty)
    code = "from importlib.resources import files; print(files('sciml.conf').joinpath('config.yaml').read_text())"
    assert "seed:" in call(commands / "python", "-c", code, cwd=empty)
    assert list(empty.iterdir()) == []


@pytest.mark.slow
def test_a_wheel_works_from_an_empty_folder(wheel: Path, tree: Path, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    commands = environment(tmp_path / "venv", wheel)
    look_at(commands, empty, tmp_path / "venv", tree)


def test_a_wheel_holds_all_code_and_configs_under_one_name(wheel: Path, tree: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for top, prefix in (("sciml", "sciml"), ("cli", "sciml/cli"), ("conf", "sciml/conf")):
        kinds = {"cli": ("*.py", "*.bash"), "conf": ("*.py", "*.yaml")}.get(
            top, ("*.py", "*.cpp", "*.jinja", "*.css", "*.js")
        )
        for path in (p for kind in kinds for p in (tree / top).rglob(kind)):
            expected.add(f"{prefix}/{path.relative_to(tree / top).as_posix()}")
    assert names == expected


def test_an_sdist_builds_the_same_wheel(wheel: Path, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    with tarfile.open(built("sdist", tree, tmp_path)) as archive:
        archive.extractall(tmp_path / "sources", filter="data")
    (sources,) = (tmp_path / "sources").iterdir()
    again = built("wheel", sources, tmp_path / "wheel")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_an_editable_install_works_and_sees_new_files_at_once(tree: Path, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    own = tmp_path / "tree"
    shutil.copytree(tree, own, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    commands = environment(tmp_path / "venv", "--editable", own)
    look_at(commands, empty, own, tree)
    (own / "conf/experiment/nobody2000new").mkdir()
    first = min((own / "conf/experiment").rglob("*.yaml"))
    shutil.copy(first, own / "conf/experiment/nobody2000new/case.yaml")
    assert "nobody2000new/case" in call(commands / "sciml", "list", "experiments", cwd=empty)
    # The tree's own folder is on no path, but it is where people stand.
    assert "train" in call(commands / "sciml", "--help", cwd=own)
