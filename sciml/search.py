"""A search for hyper-parameters: an Optuna study on disk that any number of processes work on.

The folder ``<outputs>/.sweeps/<name>/`` has ``study.json`` (what is searched), ``configs.yaml`` (the composed
configs, frozen, without what a trial chooses), ``study.journal`` (Optuna's log of the trials) and ``locks/``.

A trial belongs to the process that holds its lock, and a lock belongs to a process, not to a file's existence:
when a worker dies its trial is free at once, and the next worker takes it up where its run was saved. Trials
are handed out one at a time, under ``locks/take``: none is given twice, and no more than were asked for.

Around each line of the journal stands Optuna's ``JournalFileSymlinkLock``: a symbolic link is made atomically on every
network file system, without a lock service; the link of a process that died while it wrote is taken over after 30
seconds. Half a line that such a process left is cut off before the next one is written.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sciml.errors import UsageError
from sciml.folder import RunFolder, write_atomically
from sciml.journal import check_journal, damaged, journal_lock, on_disk
from sciml.searchspec import Frozen, Spec, read_spec
from sciml.space import Parameter, Value, propose, texts

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DEATHS = 3  # of workers at the same step of a trial's runs, until the trial counts as failed
ENOUGH = 20  # trials that must be done before the importance of a parameter is more than noise
BEST = 5  # trials at least that importance takes for the best; Optuna's documentation advises as many
_NAME = "search"


@dataclass(frozen=True)
class Trial:
    """One point and how it went.

    Args:
        number: Counts from 0.
        state: running, done or failed; a running one whose worker is gone is ``left``.
        params: What was chosen, as it stands in an override, by name.
        value: The objective; None unless done.
        values: The objective by seed.
        seconds: Of its runs; None unless known.
        runs: Their folders, below the outputs.
        error: Why it failed.
    """

    number: int
    state: str
    params: Mapping[str, str]
    value: float | None
    values: Sequence[float]
    seconds: float | None
    runs: Sequence[str]
    error: str


@dataclass
class Taken:
    """A trial that this process works on, for as long as it holds the lock."""

    number: int
    params: dict[str, Value]
    again: bool
    lock: IO[str]


class Study:
    """The study in a folder.

    Args:
        folder: ``<outputs>/.sweeps/<name>``.

    Raises:
        UsageError: There is no study, or one of its files is damaged; the message names it.
        RunError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = folder.parent.parent
        self.spec = read_spec(folder / "study.json")
        self.journal = folder / "study.journal"
        with on_disk(self.journal):
            (folder / "locks").mkdir(exist_ok=True)
            self._open()

    def _open(self) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        lock = journal_lock(self.journal)
        if self.journal.exists():
            lock.acquire()
            try:
                check_journal(self.journal)
            finally:
                lock.release()
        try:
            self._storage = JournalStorage(JournalFileBackend(str(self.journal), lock_obj=lock))
            self._study = optuna.create_study(
                storage=self._storage, study_name=_NAME, direction=self.spec.direction, load_if_exists=True
            )
            self._id = self._storage.get_study_id_from_name(_NAME)
            self._optuna_trials()
        except (ValueError, KeyError, TypeError, AssertionError, IndexError) as error:
            raise damaged(self.journal, f"{type(error).__name__}: {error}") from error

    def configs(self) -> list[Frozen]:
        """The frozen configs.

        Raises:
            UsageError: The file is damaged.
        """
        import yaml

        file = self.folder / "configs.yaml"
        try:
            return [Frozen(**item) for item in yaml.safe_load(file.read_text())]
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise UsageError(f"{file} is damaged: {str(error).splitlines()[0]}") from error

    def trials(self, *, probe: bool = False) -> list[Trial]:
        """Every trial, by number.

        Args:
            probe: Look also which of the running trials have lost their worker.
        """
        found = [_trial(self.spec.space, trial) for trial in self._optuna_trials()]
        if probe and any(trial.state == "running" for trial in found):
            with self._alone():  # nobody takes a trial while its lock is tried
                found = [self._probed(trial) for trial in found]
        return found

    def _probed(self, trial: Trial) -> Trial:
        if trial.state == "running" and (lock := self._try(trial.number)) is not None:
            lock.close()
            return replace(trial, state="left")
        return trial

    def take(self, total: int) -> Taken | None:
        """A trial to work on: one that a worker left, or a new one if there are fewer than ``total``.

        Returns:
            The trial, owned until it is finished or let go; None if there is nothing to do now.

        Raises:
            RunError: The study cannot be written.
        """
        with on_disk(self.journal), self._alone():
            past = self._optuna_trials()
            for trial in past:
                if not trial.state.is_finished() and (lock := self._try(trial.number)) is not None:
                    if self._hopeless(trial):
                        lock.close()
                        continue
                    return Taken(trial.number, dict(trial.params), True, lock)
            if len(past) >= total:
                return None
            params = propose(self.spec.space, self.spec.direction, past, self.spec.seeds[0])
            return None if params is None else self._new(params)

    def _new(self, params: dict[str, Value]) -> Taken:
        from optuna.trial import TrialState, create_trial

        distributions = {parameter.name: parameter.distribution() for parameter in self.spec.space}
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=distributions))
        number = len(self._optuna_trials()) - 1
        lock = self._try(number)
        assert lock is not None, "new trials are made by one process at a time"
        return Taken(number, params, False, lock)

    def _hopeless(self, trial: FrozenTrial) -> bool:
        """Note that a worker died of this trial, and whether it was one too often without getting any further."""
        steps = [RunFolder(self.outputs / run).read_status().get("step", 0) for run in trial.user_attrs.get("runs", [])]
        deaths = [*trial.user_attrs.get("deaths", []), steps]
        if trial.user_attrs.get("stopped"):
            self._note(trial.number, deaths=[], stopped=False)
            return False
        self._note(trial.number, deaths=deaths)
        if len(deaths) < DEATHS or any(there != steps for there in deaths[-DEATHS:]):
            return False
        self.fail(trial.number, f"its worker was killed {DEATHS} times at the same step; out of memory?")
        return True

    def let_go(self, taken: Taken) -> None:
        """Leave a trial that was stopped in good order for another worker."""
        with on_disk(self.journal):
            self._note(taken.number, stopped=True)

    def note_run(self, number: int, runs: Sequence[str]) -> None:
        """File which run folders a trial has, below the outputs."""
        with on_disk(self.journal):
            self._note(number, runs=list(runs))

    def finish(self, number: int, values: Sequence[float], seconds: float) -> None:
        """A trial is done; its value is the mean over the seeds."""
        with on_disk(self.journal):
            self._note(number, values=list(values), seconds=round(seconds, 3))
            self._study.tell(number, sum(values) / len(values))

    def fail(self, number: int, reason: str, seconds: float | None = None) -> None:
        """A trial has failed."""
        from optuna.trial import TrialState

        with on_disk(self.journal):
            self._note(number, error=reason, **({} if seconds is None else {"seconds": round(seconds, 3)}))
            self._study.tell(number, state=TrialState.FAIL)

    def importances(self) -> dict[str, float]:
        """How much each parameter decides whether a trial is among the best, by PED-ANOVA (Watanabe et al. 2023).

        The best are a tenth of the trials, and at least :data:`BEST`.

        Returns:
            Shares that add up to 1, largest first; empty if fewer than :data:`ENOUGH` trials are done, or all of them
            are equally good.
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        values = [trial.value for trial in self.trials() if trial.state == "done"]
        if len(values) < ENOUGH or len(set(values)) == 1:
            return {}
        evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, BEST / len(values)))
        return get_param_importances(self._study, evaluator=evaluator)

    def _note(self, number: int, **attributes: Any) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(trial_id, key, value)

    def _optuna_trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _try(self, number: int) -> IO[str] | None:
        file = open(self.folder / "locks" / str(number), "a")  # noqa: SIM115 - held open for as long as the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self.folder / "locks" / "take", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def create(outputs: Path, spec: Spec, configs: Sequence[Frozen]) -> tuple[Study, bool]:
    """The study of a search, made if it is not there.

    Args:
        outputs: Root of all runs.
        spec: What is searched.
        configs: The frozen configs.

    Returns:
        The study, and whether it is new.

    Raises:
        UsageError: It is there and damaged.
        RunError: It cannot be written.
    """
    import yaml

    folder = outputs / ".sweeps" / spec.name
    file = folder / "study.json"
    new = not file.exists()
    if new:
        with on_disk(file):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "configs.yaml", yaml.safe_dump([asdict(c) for c in configs], sort_keys=False))
            write_atomically(file, json.dumps(asdict(spec), indent=1) + "\n")  # last: with it the study is there
    return Study(folder), new


def _trial(space: Sequence[Parameter], trial: FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "done", TrialState.FAIL: "failed"}
    state, filed = states.get(trial.state, "running"), trial.user_attrs
    return Trial(
        number=trial.number,
        state=state,
        params=texts(space, trial.params),
        value=trial.value if state == "done" else None,
        values=filed.get("values", []),
        seconds=filed.get("seconds"),
        runs=filed.get("runs", []),
        error=filed.get("error", ""),
    )
