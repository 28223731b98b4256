"""The other processes of a run: each does what the first one announces, and decides nothing."""

import logging
import signal
import sys
import traceback
import warnings

import torch
from omegaconf import OmegaConf

from kfac_cli.config.validation import validate
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import StepRecord
from kfac_cli.errors import ProcessLostError, UserError, one_line
from kfac_cli.run.evaluation import evaluate_session
from kfac_cli.run.last_words import LastWords
from kfac_cli.run.launched import joined, leave, rank
from kfac_cli.run.messages import Beginning, Part, receive, share_beginning, share_errors
from kfac_cli.run.process_device import process_device
from kfac_cli.run.session import Session, make_session
from kfac_cli.signals import SIGNALS


def follow() -> int:
    """Take part in the runs of the first process until it says that there are no more.

    Returns the exit code. Nothing is written or shown, except that process 1 reports the end of
    the first one, which can no longer do it.
    """
    for number in SIGNALS:  # the first process answers them, and the others follow it
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    try:
        with joined():
            return _follow()
    except (ProcessLostError, UserError):
        return 1  # the first process has the same error, and shows it


def _follow() -> int:
    words = LastWords()
    try:
        while receive()[0] == Part.BEGIN:
            _take_part()
        return 0
    except _DifferentError as error:
        words.leave_reason(str(error))
    except ProcessLostError as error:
        leave()  # the first process may wait for this one
        if rank() == 1 and not words.is_reported():
            line = f"the first process has ended or does not answer ({error})"
            print(f"kfac-run: error: {one_line(line)}", file=sys.stderr, flush=True)
    except Exception as error:
        words.leave_reason(f"process {rank()}: {type(error).__name__}: {error}")
        traceback.print_exc()  # a bug
    words.end()
    return 1


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
    session = make_session(config, dataset, device, beginning.earlier)
    session.load_state_dict(beginning.state)
    return session


class _DifferentError(ProcessLostError):
    """This process has another state than the first one."""
