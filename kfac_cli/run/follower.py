"""The other processes of a run: each does what the first one announces, and decides nothing."""

import logging
import signal
import traceback
import warnings

import torch
from omegaconf import OmegaConf

from kfac_cli.config.validation import validate
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import StepRecord
from kfac_cli.error_line import EXIT_FAILED, print_error
from kfac_cli.errors import ProcessLostError, UserError
from kfac_cli.run.evaluation import evaluate_session
from kfac_cli.run.failures import failure_line, is_expected
from kfac_cli.run.launched import joined, leave, rank, reports_loss_of_leader, timeout_seconds
from kfac_cli.run.lifelines import LOST, FollowerLine
from kfac_cli.run.messages import (
    Beginning,
    Part,
    all_arrived,
    receive,
    share_beginning,
    share_errors,
)
from kfac_cli.run.process_device import process_device
from kfac_cli.run.session import Session, make_session
from kfac_cli.signals import SIGNALS


def follow(name: str) -> int:
    """Take part in the runs of the first process until it says that there are no more.

    Returns the exit code. Nothing is written or shown, except that process 1 reports a failure of
    the command, which is called `name`, if the first process can not.
    """
    for number in SIGNALS:  # the first process answers them, and the others follow it
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    try:
        with joined() as line:
            assert isinstance(line, FollowerLine)
            return _follow(name, line)
    except (ProcessLostError, UserError):
        return EXIT_FAILED  # the first process has the same error, and shows it


def _follow(name: str, line: FollowerLine) -> int:
    try:
        while receive()[0] == Part.BEGIN:
            _take_part()
        return 0
    except _DifferentError as error:
        words, report = str(error), str(error)
    except ProcessLostError as error:
        words, report = LOST, f"the first process ended or does not answer ({error})"
    except Exception as error:
        words = report = f"process {rank()}: {failure_line(error)}"
        if not is_expected(error):
            traceback.print_exc()
    line.explain(words)
    leave()  # others may wait for this one
    if reports_loss_of_leader() and not line.leader_reports(timeout_seconds()):
        print_error(name, report)
    return EXIT_FAILED


def _take_part() -> None:
    """One run, or the refusal of it."""
    beginning = share_beginning()
    torch.set_num_threads(beginning.threads)
    session, error = None, None
    try:
        session = _session(beginning)
    except (UserError, OSError) as failure:
        error = str(failure)
    share_errors(error)
    last: StepRecord | None = None
    while True:
        part, differing = receive(session, last)
        if differing:
            raise _DifferentError(
                f"process {rank()} does not have {differing} of the first process"
            )
        if part == Part.END or session is None:
            all_arrived()
            return
        if part == Part.STEP:
            _, last = session.step()
        else:
            evaluate_session(session)


def _session(beginning: Beginning) -> Session:
    """The session of the first process."""
    config = validate(OmegaConf.create(beginning.settings))
    device = process_device(config.device)
    folder = resolve_data_dir(config.data_dir)
    dataset = load_dataset(config.dataset, folder, config.dtype)
    if dataset.fingerprint != beginning.data:
        raise UserError(f"the data in {folder} are not those of the first process")
    session = make_session(config, dataset, device, beginning.earlier)
    session.load_state_dict(beginning.state)
    return session


class _DifferentError(ProcessLostError):
    """This process has another state than the first one."""
