"""Freed memory stays with the process, unless the environment says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from sciml.allocator import keep_freed
kept = keep_freed() if sys.argv[1] == "keep" else False
for _ in range(3):
    block = bytearray(64 << 20)
    del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block = bytearray(64 << 20)
    del block
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def faults(how: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and page faults of five blocks of 64 MB."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", FAULTS, how]
    said = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True).stdout.split()
    return said[0] == "1", int(said[1])


@glibc
def test_freed_blocks_are_used_again_without_page_faults() -> None:
    kept, few = faults("keep")
    _, many = faults("leave")
    assert kept
    assert few < 100 < many


@glibc
@pytest.mark.parametrize(
    "environment", [{"MALLOC_TRIM_THRESHOLD_": "100000"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=100000"}]
)
def test_what_the_environment_says_of_malloc_stays(environment: dict[str, str]) -> None:
    kept, _ = faults("keep", **environment)
    assert not kept
