"""Modules of finished runs, for those that build on them: what is attributed, a prior that was trained.

Which run is meant, ``run``: a run folder, an experiment, or a part of a path that fits only one run; of several that
differ in their seed only, the one with the seed of the run that asks. A single one of another seed is taken, as a prior
that is trained once is meant for all seeds, and a warning says so. The text enters the identity of the run that asks. A
folder names the config and the seed of what is meant, which is all that its weights depend on (same machine and
versions) but for data files: a warning says which have changed since. Where that is repeated with other code
(``--force``), a run that built on it before is still found under its old name: repeat it with ``--force`` as well.
"""

from __future__ import annotations

import logging
import os
from importlib.resources import files

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.seed import isolate_rng

from sciml import datafile
from sciml.errors import UsageError
from sciml.folder import OUTPUTS
from sciml.lookup import find
from sciml.run import load

log = logging.getLogger("sciml")


def finished(run: str, *, family: str, which: str = "last", other: str = "") -> LightningModule:
    """Rebuild the run that is asked for.

    Args:
        run: A folder, an experiment, or a part of a path below the root of all runs; see above.
        family: The family that it must be of.
        which: Its ``last`` or its ``best`` weights.
        other: What to choose for a run of another family, ``{family}`` in it standing for that family.

    Returns:
        The module on the CPU in evaluation mode. The random generators are left as they were.

    Raises:
        UsageError: There is no such run or more than one, it has not finished, is of another family, has trained
            nothing, or its weights are gone.
    """
    outputs = OUTPUTS.get()
    if files("sciml.conf").joinpath(f"experiment/{run}.yaml").is_file():
        if not any((outputs / run).glob("*/config.yaml")):
            raise UsageError(f"there is no run of {run} in {outputs} yet: sciml train +experiment={run}")
        run = f"{run}/"  # not of another experiment whose name begins with it
    seed = torch.initial_seed()
    folder = find(run, outputs, seed=seed)
    if "-seed" not in run and not folder.path.name.endswith(f"-seed{seed}"):
        log.warning("there is no run of %s with seed %d: %s is built on instead", run.rstrip("/"), seed, folder.path)
    row = folder.read_row()
    if row is None:
        raise UsageError(f"run {folder.path} has not finished, so there is nothing to build on: sciml resume it")
    if row["family"] != family:
        hint = other.format(family=row["family"]) if other else f"choose a run of the family {family}"
        raise UsageError(f"run {folder.path} is of the family {row['family']}: {hint}")
    if not (folder.last if which == "last" else folder.best).exists():
        if row["cost"].get("steps", 0) == 0:
            raise UsageError(f"run {folder.path} trained nothing (experiment {row['experiment']}): it has no weights")
        raise UsageError(
            f"run {folder.path} has its row but not its weights ({which}.ckpt), which are not kept with the code:"
            f" make them with `{row.get('command', 'sciml train ...')} --force`"
        )
    datafile.warn(row)
    trusted = [package for package in os.environ.get("SCIML_TRUST", "").split(",") if package]
    with isolate_rng():
        return load(folder.path, which, trusted)
