"""The C++ compiler of this machine."""

from __future__ import annotations

import os
import shutil


def compiler() -> str | None:
    """What CXX names, or the first of g++, clang++ and c++ that there is; None if there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)
