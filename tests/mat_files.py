"""MATLAB files to test with: version 7 as SciPy writes it, version 7.3 as its specification has it.

Version 7.3 files of another writer (hdf5storage 0.2.2) were read as well, and gave the arrays that went in.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

VERSIONS = ["7", "7.3"]


def write(path: Path, version: str, **variables: np.ndarray) -> str:
    if version == "7":
        savemat(path, variables, do_compression=True)
        return str(path)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file[name] = values.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return str(path)
