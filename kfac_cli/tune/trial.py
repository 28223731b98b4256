"""One trial: an ordinary run in its own folder, which reports its evaluations to the study."""

import contextlib
import io
import shlex
import sys
import traceback
from pathlib import Path

from omegaconf import DictConfig
from optuna.trial import Trial

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.commands.resume import logging_to
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.settings_file import CONFIG_FILE, settings_text, write_settings
from kfac_cli.errors import ProcessLostError, UserError
from kfac_cli.files import replace_text
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import (
    ERROR_FILE,
    INTERRUPTED,
    PRUNED,
    SUMMARY_FILE,
    TIME_LIMIT_REACHED,
)
from kfac_cli.recording.values import Row
from kfac_cli.run.failures import failure_line
from kfac_cli.run.stopping import StoppingRule
from kfac_cli.signals import Interrupted, check_interrupted
from kfac_cli.tune.plan import Plan
from kfac_cli.tune.settings import trial_settings
from kfac_cli.tune.study import Claim, uninterrupted

PRUNED_AT = "pruned_at"
STARTS = "starts"
MAX_STARTS = 3
"""How often a trial may be killed at the same iteration before it has failed."""


class TrialFailedError(Exception):
    """The run of a trial ended with an error; the text is one line."""


def run_trial(plan: Plan, claim: Claim) -> int | None:
    """Run a trial, or continue it; return the number of a signal that came while it was ending.

    Raises TrialFailedError, after writing the reason into the folder, Interrupted if a signal ended
    the run before its end, and ProcessLostError if another process of the command has ended, so
    that the next command continues the trial.
    """
    before = list(claim.trial.user_attrs.get(STARTS, []))
    try:
        return _run_to_the_end(plan, claim)
    except (Interrupted, ProcessLostError):
        claim.trial.set_user_attr(STARTS, before)  # it was not killed
        raise


def _run_to_the_end(plan: Plan, claim: Claim) -> int | None:
    try:
        settings, config = trial_settings(plan.space, plan.first, claim.values)
        _count_start(claim)
        status, signal = _run(plan, claim, settings, config)
    except (Interrupted, ProcessLostError):
        raise
    except UserError as error:
        raise _failed(claim.folder, str(error), f"{error}\n") from error
    except Exception as error:
        check_interrupted()
        raise _failed(claim.folder, failure_line(error), traceback.format_exc()) from error
    if status == INTERRUPTED:
        raise Interrupted(signal or 0)
    return signal


def _run(
    plan: Plan, claim: Claim, settings: DictConfig, config: RunConfig
) -> tuple[str, int | None]:
    from kfac_cli.run.runner import run
    from kfac_cli.run.saved_run import read_saved_run

    folder = claim.folder
    if not (folder / CONFIG_FILE).exists():
        write_settings(settings, folder)
    files = {SUMMARY_FILE: None, ERROR_FILE: None, CONFIG_FILE: settings_text(settings)}
    command = shlex.join(["kfac-run", *plan.space.overrides(claim.values)])
    quiet = contextlib.redirect_stdout(io.StringIO())  # the study has a line for each trial
    with logging_to(folder), quiet, _Bar(config.iterations) as progress:
        progress.start(f"trial {claim.number} of {plan.trials}")
        check_interrupted()
        saved = read_saved_run(config, folder, files)
        result = run(
            config,
            folder,
            progress,
            saved,
            command,
            rule=_rule(claim.trial, config.max_seconds),
        )
    return result.status, result.signal


def _rule(trial: Trial, max_seconds: float | None) -> StoppingRule:
    """The rule that reports each evaluation and asks the pruner after it.

    It also holds the time of all processes that ran the trial against `max_seconds`.

    What a trial had reported before it was killed is not reported again; it is asked about an
    evaluation once, so that it ends as if it had not been killed.
    """
    reported = dict(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def rule(row: Row) -> str | None:
        step = int(str(row["iteration"]))
        if step not in reported:
            reported[step] = float(str(row["train_error_best"]))
            trial.report(reported[step], step)
        if step == trial.user_attrs.get(PRUNED_AT):
            return PRUNED
        if step == max(reported) and trial.should_prune():
            trial.set_user_attr(PRUNED_AT, step)
            return PRUNED
        over = max_seconds is not None and float(str(row["seconds"])) >= max_seconds
        return TIME_LIMIT_REACHED if over else None

    return rule


def _count_start(claim: Claim) -> None:
    """Note the iteration from which the run starts; raise UserError if that never gets further."""
    iteration = next(iter(checkpoint_iterations(claim.folder)), 0)
    starts = [*claim.trial.user_attrs.get(STARTS, []), iteration]
    if starts.count(iteration) > MAX_STARTS:
        raise UserError(
            f"its process was killed {MAX_STARTS} times after iteration {iteration}, where the "
            "last checkpoint is; possibly for lack of memory: set a smaller chunk_size"
        )
    with uninterrupted():
        claim.trial.set_user_attr(STARTS, starts)


def _failed(folder: Path, line: str, details: str) -> TrialFailedError:
    with contextlib.suppress(OSError):  # the disk may be what failed
        replace_text(folder / ERROR_FILE, details)
    return TrialFailedError(line)


class _Bar(Progress):
    """The display of a trial's run: a bar on a terminal, nothing elsewhere."""

    def __init__(self, total: int) -> None:
        super().__init__(total, sys.stderr if sys.stderr.isatty() else io.StringIO())

    def evaluation(self, row: Row) -> None:
        return
