"""The loop of one run: step, evaluate, record, checkpoint."""

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from kfac_cli.checkpoint.folder import CheckpointFolder
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.validation import advice_on_text
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import KFAC
from kfac_cli.engine.declaration import OptionError
from kfac_cli.engine.matmul import choose_products
from kfac_cli.engine.registry import check_options
from kfac_cli.errors import UserError
from kfac_cli.recording.environment import reset_peak_memory
from kfac_cli.recording.processors import Load, usable_processors
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import DIVERGED, INTERRUPTED
from kfac_cli.run.busy import BusyCheck
from kfac_cli.run.checkpointing import Saver
from kfac_cli.run.evaluation import evaluate_session, evaluation_row, not_finite
from kfac_cli.run.history import History
from kfac_cli.run.leader import Leader
from kfac_cli.run.overflow import extreme_case, refuse_overflow
from kfac_cli.run.process_device import process_device
from kfac_cli.run.recorder import Recorder
from kfac_cli.run.saved_run import SavedRun, check_evaluations
from kfac_cli.run.session import DTYPES, Session, make_session
from kfac_cli.run.starting_point import read_starting_point
from kfac_cli.run.stopping import (
    StoppingRule,
    evaluation_is_due,
    reached,
    reason_to_stop,
    status_at,
)
from kfac_cli.signals import StopRequest

logger = logging.getLogger(__name__)

TRAINING_PARTS = ("train_inputs", "train_targets")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    `status` is one of those in `recording/summary.py`; `best_train_error` is the lowest measured,
    of the iterate or its average (infinite if none was finite); `signal` is the number of a signal
    that came during the run; `reason` names what was not finite in the last evaluation, if the run
    diverged for that reason, or the signal that interrupted it. `optimizer_time_is_up` says whether
    the limit of optimizer seconds is reached, so that only a larger one lets it continue.
    """

    status: str
    best_train_error: float
    iterations: int
    signal: int | None = None
    reason: str | None = None
    optimizer_time_is_up: bool = False


def run(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    saved: SavedRun | None = None,
    command: str | None = None,
    turn: int | None = None,
    rule: StoppingRule | None = None,
    swept: Sequence[str] = (),
    load: Load | None = None,
) -> RunResult:
    """Train with `config` and write all results into `folder`, which exists.

    `progress` has been started; it is closed before the summary is printed. `saved` is given to
    resume the run in the folder. `command` is the command line, for the summary; `turn` the number
    of a run beside others, which share the GPUs; `rule` may stop the run after an evaluation;
    `swept` are the words that distinguish a job of a sweep; `load` is the machine's load some time
    before, to tell whether it is busy.

    Raises UserError for missing, damaged or too large data, a missing device or arguments that
    torch's optimizer refuses, OSError if the folder cannot be written.
    """
    before = load or Load.now()
    _check_optimizer(config)
    leader = Leader.of_run()
    with process_for(config, turn) as device:
        busy = BusyCheck(before, device, config.threads, leader.processes)
        return _run(config, folder, progress, saved, command, device, rule, swept, busy, leader)


@contextmanager
def process_for(config: RunConfig, turn: int | None) -> Iterator[torch.device]:
    """Set what belongs to the process, and give the run's device; restore it for the next run."""
    device, threads = process_device(config.device, turn), torch.get_num_threads()
    _check_matmul(config, device)
    wanted = config.threads or min(threads, usable_processors())
    if wanted != threads:
        torch.set_num_threads(wanted)
    reset_peak_memory(device)
    try:
        yield device
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _run(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    saved: SavedRun | None,
    command: str | None,
    device: torch.device,
    rule: StoppingRule | None,
    swept: Sequence[str],
    busy: BusyCheck,
    leader: Leader,
) -> RunResult:
    resumes = saved is not None and saved.contents is not None
    start = None if resumes else read_starting_point(config)
    progress.activity(f"loading {config.dataset.name}")
    folder_of_data = resolve_data_dir(config.data_dir)
    dataset = load_dataset(config.dataset, folder_of_data, config.dtype, progress.activity)
    progress.activity("")
    refuse_overflow(config, dataset, device)
    origin = start or saved
    session = (
        make_session(config, dataset, device) if origin is None else origin.session(dataset, device)
    )
    history = History(None if saved is None else saved.times, began=session.iteration)
    keep = config.checkpoint.keep
    checkpoints = CheckpointFolder(folder, keep) if saved is None else saved.checkpoints
    resumed = saved is not None
    with (
        StopRequest() as stop,
        Recorder(
            config,
            folder,
            session,
            history,
            progress,
            resumed=resumed,
            command=command,
            swept=swept,
        ) as recorder,
        leader.run(config, session),
    ):
        if saved is not None:
            saved.replace_files()
        saver = Saver(config, checkpoints, session, recorder)
        if resumed:
            check_evaluations(session, history.evaluations)
        if start is not None:
            logger.info(start.sentence)
            progress.message(start.sentence)
            saver.save()  # so that resuming does not need the other run any more
        if isinstance(session.optimizer, KFAC):
            session.optimizer.report = progress.activity
        if leader.processes.count > 1:
            progress.message(leader.sentence())
        busy()
        status = _train(
            config, session, history, recorder, saver, stop, rule, progress, busy, leader
        )
        leader.end()
        reason = None
        drops = keep == 0 and status == status_at(
            config, session.iteration, session.best.train_error
        )
        if status == INTERRUPTED and stop.signal is not None:
            reason = signal.Signals(stop.signal).name
        if status != DIVERGED:
            names = [] if status == INTERRUPTED else not_finite(history.latest_evaluation or {})
            case = extreme_case(session) if names else None
            if (not names and not drops) or case is not None:  # the data are the cause
                saver.save()
            if names:
                status, reason = DIVERGED, _reason_for_divergence(names, case)
        elif (case := extreme_case(session, TRAINING_PARTS)) is not None:
            reason = f"the data are the cause: {case}"
        if drops and status != DIVERGED:  # once the results are written, which takes a while
            recorder.finish(status, reason, then=checkpoints.clear)
        else:
            recorder.finish(status, reason)
    time_is_up = reached(config.max_optimizer_seconds, history.optimizer_seconds)
    best = session.best.train_error
    return RunResult(status, best, session.iteration, stop.signal, reason, time_is_up)


def _check_optimizer(config: RunConfig) -> None:
    try:
        check_options(config.optimizer)
    except OptionError as error:
        raise UserError(error.line("optimizer.") + advice_on_text(error.value)) from error


def _check_matmul(config: RunConfig, device: torch.device) -> None:
    """Refuse products that the machine does not have before anything large is loaded."""
    try:
        choose_products(config.matmul, device, DTYPES[config.dtype])
    except OptionError as error:
        raise UserError(error.line()) from error


def _train(
    config: RunConfig,
    session: Session,
    history: History,
    recorder: Recorder,
    saver: Saver,
    stop: StopRequest,
    rule: StoppingRule | None,
    progress: Progress,
    busy: BusyCheck,
    leader: Leader,
) -> str:
    """Iterate until there is a reason to stop; return it."""
    ruled = None
    if rule is not None:
        for row in history.evaluations:
            ruled = rule(row)
    while True:
        status = reason_to_stop(config, session, history, stop) or ruled
        if status != INTERRUPTED and evaluation_is_due(config, session, history, status):
            with history.clock("evaluation"), leader.evaluation():
                evaluation = evaluate_session(session, progress.activity)
            row = evaluation_row(session, evaluation, history.times())
            history.evaluations.append(row)
            session.include_evaluation(row)
            recorder.evaluation(row)
            ruled = None if rule is None else rule(row)
            continue  # it may have reached the target
        if status is not None:
            return status
        saver.save_if_due()
        with history.clock("optimizer"):
            size, record = leader.step(session)
        recorder.iteration(size, record)
        busy()
        if session.diverged or session.rejections_in_a_row >= config.max_rejections:
            return DIVERGED


def _reason_for_divergence(names: list[str], case: str | None) -> str:
    """What is not finite in the last evaluation, and which case of the data causes it, if any."""
    cause = "no value in the data is the cause"
    if case is not None:
        cause = f"the data are the cause: {case}"
    return f"{', '.join(names)} not finite in the last evaluation; {cause}"
