"""The loop of one process: claim a trial, run it, tell how it ended."""

from optuna.trial import TrialState

from kfac_cli.errors import UserError, one_line
from kfac_cli.files import shown_folder
from kfac_cli.recording.summary import FAILED
from kfac_cli.recording.values import format_duration, significant
from kfac_cli.signals import Interrupted
from kfac_cli.tune.outcome import Outcome, read_outcome
from kfac_cli.tune.plan import Plan
from kfac_cli.tune.results import closing_lines, measured, write_results
from kfac_cli.tune.study import Claim, SharedStudy, uninterrupted
from kfac_cli.tune.trial import TrialFailedError, run_trial

MAX_FAILURES = 3
"""After how many failed trials in a row a process leaves the others of a study."""


class TrialsFailingError(UserError):
    """So many trials of a study failed in a row that the others would too."""


def work(plan: Plan) -> SharedStudy:
    """Run trials of a study until there are no more; return the study.

    Raises Interrupted if a signal came, after the trial under way is saved, and TrialsFailingError
    after `MAX_FAILURES` failures in a row, if others are left.
    """
    study = SharedStudy(plan)
    begun = len(study.trials())
    seed = f"{plan.options.sampler}, seed {plan.options.sampler_seed}"
    pruning = "no pruning" if plan.options.pruner == "none" else f"{plan.options.pruner} pruning"
    what = f"{begun} of {plan.trials} trials begun; {seed}; {pruning}"
    print(f"study in {shown_folder(plan.folder)}: {what}", flush=True)
    failures = 0
    while (claim := study.claim()) is not None:
        try:
            failure = _run(study, claim)
        finally:
            claim.lock.release()
        failures = 0 if failure is None else failures + 1
        if failures >= MAX_FAILURES and len(study.trials()) < plan.trials:
            raise TrialsFailingError(f"{failures} trials in a row failed; the last one: {failure}")
    with uninterrupted():
        write_results(study)
    return study


def report(study: SharedStudy) -> int:
    """Print how the study stands; return 0, or 1 if every trial failed."""
    running = len(study.trials((TrialState.RUNNING,)))
    if running:
        print(f"{running} trials are running in other processes")
    for line in closing_lines(study):
        print(one_line(line), flush=True)
    failed = len(study.trials((TrialState.FAIL,)))
    return int(failed == len(study.trials()))


def _run(study: SharedStudy, claim: Claim) -> str | None:
    """Run a claimed trial to its end and tell the study; return why it failed, if it did."""
    plan, signal = study.plan, None
    outcome = read_outcome(claim.folder, plan.objective)  # its process was killed at the very end
    notes = {}
    if outcome is None:
        try:
            signal = run_trial(plan, claim)
            outcome = read_outcome(claim.folder, plan.objective)
        except TrialFailedError as error:
            notes["error"] = str(error)
    outcome = outcome or Outcome(TrialState.FAIL, None, {})
    study.tell(claim, outcome.state, outcome.value, status=outcome.status, **notes)
    with uninterrupted():
        write_results(study)
    _print_line(study, claim, outcome, notes.get("error"))
    if signal is not None:
        raise Interrupted(signal)
    if outcome.status == FAILED:
        return notes.get("error", "its run left no summary")
    return None


def _print_line(study: SharedStudy, claim: Claim, outcome: Outcome, error: str | None) -> None:
    words = " ".join(d.described(claim.values[d.name]) for d in study.plan.space.dimensions)
    line = f"trial {claim.number} of {study.plan.trials}: {words}: {outcome.status}"
    if error is not None:
        print(one_line(f"{line}: {error}"), flush=True)
        return
    summary = outcome.summary
    line += f" after {summary.get('iterations')} iterations"
    line += f" and {format_duration(float(summary.get('seconds') or 0))}: "
    if outcome.value is not None:
        line += measured(study.plan.objective, outcome.value)
        values = [t.value for t in study.trials((TrialState.COMPLETE,)) if t.value is not None]
        line += ", the best so far" if outcome.value <= min(values) else ""
    else:
        line += f"training error {significant(summary.get('best_train_error'))}, not ranked"
    print(one_line(line), flush=True)
