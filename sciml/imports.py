"""Imports the libraries of a run: most of what a process costs before its first step.

They make a million objects that live until the end. Searching these for garbage, over and over while they are made,
takes a third of the time and finds nothing; so the search waits, and passes them over from then on.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

RUN = "sciml.run"


def load(modules: Sequence[str] = (RUN,)) -> None:
    """Import modules; at once if that has been done before.

    Nothing is computed: a child of a process with busy threads could hang.
    """
    if all(name in sys.modules for name in modules):
        return
    searching = gc.isenabled()
    gc.disable()
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        gc.freeze()  # also for forked children, which would copy every page that a search writes to
        if searching:
            gc.enable()
