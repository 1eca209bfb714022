from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "scripts/constraints.txt").read_text(), re.MULTILINE)
}
REQUIREMENTS = [
    Requirement(line)
    for lines in [PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"].values()]
    for line in lines
]


def packages_below(folder: Path, name: str) -> set[str]:
    """Dotted names of all folders with Python files, whether or not they have an __init__.py."""
    folders = {path.parent for path in folder.rglob("*.py")}
    return {".".join([name, *path.relative_to(folder).parts]) for path in folders}


def test_the_listed_packages_are_the_folders_with_code() -> None:
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    there = (
        packages_below(ROOT / "sciml", "sciml")
        | packages_below(ROOT / "cli", "sciml.cli")
        | packages_below(ROOT / "conf", "sciml.conf")
    )
    assert sorted(listed) == sorted(there), "bring [tool.setuptools] packages in pyproject.toml up to date"


def test_every_code_folder_is_a_regular_package() -> None:
    folders = {path.parent for top in ("sciml", "cli", "conf") for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_has_a_tested_pin_within_its_range(requirement: Requirement) -> None:
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_pins_leave_the_build_of_torch_to_the_machine() -> None:
    assert "torch" in PINS
    assert [name for name, version in PINS.items() if version.local] == []
