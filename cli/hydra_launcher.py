"""``sciml train -m hydra/launcher=sciml_slurm``: a multirun of Hydra's that is frozen and submitted, not waited for.

Hydra asks of a launcher that it be a class in a package called ``hydra_plugins``. This module is entered there
under an alias, and its settings, those of ``conf/launcher/slurm.yaml``, in Hydra's store of configs; no file
has to lie in a place that Hydra searches.
"""

from __future__ import annotations

import shlex
import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from .launch import file_result

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

NAME = "sciml_slurm"
_ALIAS = "hydra_plugins.sciml_launcher"
_TARGET = {"_target_": "sciml.launcher.slurm.Slurm"}


class SciMLSlurm(Launcher):
    """Freezes the jobs that Hydra's sweeper makes, and submits them as one array.

    Args:
        settings: Those of ``conf/launcher/slurm.yaml``.
    """

    __module__ = _ALIAS

    config_dir: str | None = None

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what Hydra gives."""
        self.task: Any = task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Freeze and submit what is not there yet; every job counts as completed for Hydra."""
        from .launchers import build
        from .origin import hydra_session
        from .sweep import freeze_and_submit, submitted
        from .sweep_plan import plan_of

        jobs = [list(filter_overrides(overrides)) for overrides in job_overrides]
        settings = {**OmegaConf.to_container(OmegaConf.create(self.settings), resolve=True), **_TARGET}  # type: ignore[dict-item]
        launcher = build(settings)
        with hydra_session(self.config_dir):
            plan = plan_of(jobs, self.task.trust, force=self.task.force)
        if plan.todo:
            launcher.check()
            command = shlex.join(["sciml", "train", "-m", *self.task.overrides])
            sweep = freeze_and_submit(
                plan, command, launcher, "slurm", settings, self.task.trust, force=self.task.force
            )
            submitted(sweep)
        given = {draft.command for draft in plan.todo}
        for job in jobs:
            state = "submitted" if shlex.join(["sciml", "train", *job]) in given else "found"
            file_result({"overrides": job, "state": state, "code": 0})
        return [JobReturn(overrides=job, status=JobStatus.COMPLETED) for job in jobs]


def register(config_dir: str | None = None) -> None:
    """Make the launcher known to Hydra, for this process.

    Args:
        config_dir: The user's folder of configs.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from .configs import read

    if "hydra_plugins" not in sys.modules:
        try:
            import hydra_plugins  # noqa: F401 - a namespace package, there when any plugin is installed
        except ImportError:
            sys.modules["hydra_plugins"] = types.ModuleType("hydra_plugins")
    sys.modules[_ALIAS] = sys.modules[__name__]
    SciMLSlurm.config_dir = config_dir
    Plugins.instance().register(SciMLSlurm)
    settings = {key: value for key, value in read("launcher/slurm").items() if key != "_target_"}
    node = {"_target_": f"{_ALIAS}.{SciMLSlurm.__name__}", **settings}
    ConfigStore.instance().store(group="hydra/launcher", name=NAME, node=node)
