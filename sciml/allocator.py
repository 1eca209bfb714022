"""Memory that is freed stays with the process.

A training step makes tensors of some megabytes and frees them again. glibc gives such blocks back to the kernel, which
hands out zeroed pages, one fault each, in the next step: a tenth of the time of an FNO's step on 64 x 64 points, and up
to a quarter on a machine whose memory is busy. Kept, they are there; the process then has its peak until it ends.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
TRIM, MMAP = 2**31 - 1, 2**30  # free bytes at the end of the heap, and a block, from which on the kernel gets them back


def keep_freed() -> bool:
    """Have glibc keep blocks below 1 GiB, and up to 2 GiB that are free.

    Returns:
        Whether it does: not with another C library, and not where the environment already says what malloc should do.
    """
    said = any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ)
    if not sys.platform.startswith("linux") or said or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(option, value) == 1 for option, value in ((TRIM_THRESHOLD, TRIM), (MMAP_THRESHOLD, MMAP))
    )
