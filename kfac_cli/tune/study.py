"""The study in its storage: claiming trials and telling how they ended."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from kfac_cli.errors import UserError, shown
from kfac_cli.files import shown_folder
from kfac_cli.signals import Interrupted, StopRequest
from kfac_cli.tune.locks import Lock, locked
from kfac_cli.tune.plan import Plan
from kfac_cli.tune.samplers import make_pruner, make_sampler
from kfac_cli.tune.storage import JOURNAL, open_storage

IDENTITY = "folder"
"""The study's attribute with the identity of its plan."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs, and the lock on its folder that says so."""

    trial: Trial
    folder: Path
    values: dict[str, Any]
    lock: Lock

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.trial.number


class SharedStudy:
    """A study on which any number of processes work.

    Who holds the lock on a trial's folder is running it; the lock on the study's folder is held
    while a trial is chosen. Raises UserError if the storage belongs to another folder.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        with uninterrupted(), locked(plan.folder):
            self._storage = open_storage(plan.options.storage, plan.folder)
            self.optuna = _open(plan, self._storage)

    def claim(self) -> Claim | None:
        """A trial to run: one whose process was killed or interrupted, or a new one.

        None if there are no more: other processes may still be running some.
        """
        with uninterrupted(), locked(self.plan.folder):
            for trial in self.trials((TrialState.RUNNING,)):
                claim = self._claim(trial.number)
                if claim is not None:
                    return claim
            if len(self.trials()) >= self.plan.trials:
                return None
            new = self.optuna.ask()
            return self._claim(new.number, new)

    def tell(self, claim: Claim, state: TrialState, value: float | None, **notes: Any) -> None:
        """Record how a trial ended, with notes about it, and release it."""
        with uninterrupted():
            for name, note in notes.items():
                claim.trial.set_user_attr(name, note)
            self.optuna.tell(claim.number, value, state)
            claim.lock.release()

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials in these states, or all; they must not be changed."""
        return self.optuna.get_trials(deepcopy=False, states=states)

    def _unfinished(self, number: int) -> Trial | None:
        """A trial as it is now; None if it has ended."""
        study = self._storage.get_study_id_from_name(self.optuna.study_name)
        identity = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        ended = self._storage.get_trial(identity).state in ENDED
        return None if ended else Trial(self.optuna, identity)

    def _claim(self, number: int, new: Trial | None = None) -> Claim | None:
        folder = self.plan.trial_folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder)
        if not lock.try_acquire():
            return None
        trial = new or self._unfinished(number)
        if trial is None:
            lock.release()  # its process told how it ended after the trials were listed
            return None
        values = {d.name: d.suggest(trial) for d in self.plan.space.dimensions}
        return Claim(trial, folder, values, lock)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A block that a signal does not interrupt: Interrupted is raised after it."""
    with StopRequest() as stop:
        yield
    if stop.signal is not None:
        raise Interrupted(stop.signal)


def _open(plan: Plan, storage: BaseStorage) -> Study:
    study = optuna.create_study(
        storage=storage,
        study_name=plan.options.study,
        sampler=make_sampler(plan.options, plan.space.dimensions),
        pruner=make_pruner(plan.options, plan.first.config),
        load_if_exists=True,
    )
    identity = study.user_attrs.get(IDENTITY)
    where = shown_folder(plan.folder)
    if identity is None and not study.get_trials(deepcopy=False):
        if any((plan.folder / "trials").iterdir()):
            place = JOURNAL if plan.options.storage is None else "database"
            raise UserError(f"output={where}: has trials, but its {place} has no study with them")
        study.set_user_attr(IDENTITY, plan.identity)
    elif identity != plan.identity:
        raise UserError(
            f"study={shown(plan.options.study)}: belongs to another folder than {where}; choose "
            "another name, or the folder with which it began"
        )
    return study
