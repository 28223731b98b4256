"""What a study leaves besides its runs: ranking.csv, importances.csv and best.yaml."""

import csv
import io
import shlex
from pathlib import Path
from typing import Any

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from kfac_cli.files import replace_text, shown_folder
from kfac_cli.recording.summary import FAILED
from kfac_cli.tune.best_experiment import write_best
from kfac_cli.tune.locks import locked
from kfac_cli.tune.outcome import read_summary
from kfac_cli.tune.study import SharedStudy

RANKING = "ranking.csv"
IMPORTANCES = "importances.csv"
RESULTS = ("best_train_error", "best_test_error", "iterations", "cases", "optimizer_seconds")
RUNNING = "running"


def write_results(study: SharedStudy) -> None:
    """Write ranking.csv, importances.csv and, if a trial is complete, experiment/best.yaml."""
    with locked(study.plan.folder):
        ranking = ranked(study)
        replace_text(study.plan.folder / RANKING, _ranking_text(study, ranking))
        rows: list[list[Any]] = [
            ["setting", "importance"],
            *([n, repr(v)] for n, v in importances(study).items()),
        ]
        replace_text(study.plan.folder / IMPORTANCES, _text(rows))
        if ranking and ranking[0].state == TrialState.COMPLETE:
            best = ranking[0]
            assert best.value is not None
            words = study.plan.space.overrides(best.params)
            heading = f"Trial {best.number}, the best: {study.plan.objective} {best.value!r}."
            write_best(study.plan.folder, words, heading)


def ranked(study: SharedStudy) -> list[FrozenTrial]:
    """The trials, the best first.

    Below the complete ones, by the objective, come those without it, by their best error, then
    those that run and those that failed.
    """
    order = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)

    def place(trial: FrozenTrial) -> tuple[int, float, int]:
        group = order.index(trial.state) if trial.state in order else len(order)
        values = trial.intermediate_values.values()
        value = trial.value if group == 0 else min(values, default=float("inf"))
        return group, float("inf") if value is None else value, trial.number

    return sorted(study.trials(), key=place)


def importances(study: SharedStudy) -> dict[str, float]:
    """The share of each searched setting in the differences among the complete trials.

    By PED-ANOVA (Watanabe et al. 2023); empty if these are too few or all the same.
    """
    complete = study.trials((TrialState.COMPLETE,))
    if len(complete) < 2 or len({trial.value for trial in complete}) < 2:
        return {}
    return get_param_importances(study.optuna, evaluator=PedAnovaImportanceEvaluator())


def trial_status(folder: Path, trial: FrozenTrial) -> str:
    """How the run of a trial ended, or that it has not."""
    if trial.state == TrialState.FAIL:
        return FAILED
    if not trial.state.is_finished():
        return RUNNING
    return str(read_summary(folder).get("status", trial.state.name.lower()))


def _ranking_text(study: SharedStudy, ranking: list[FrozenTrial]) -> str:
    names = [d.name for d in study.plan.space.dimensions]
    header = ["rank", "trial", "status", study.plan.objective, *RESULTS, *names, "folder"]
    rows: list[list[Any]] = [header]
    for rank, trial in enumerate(ranking, 1):
        folder = study.plan.trial_folder(trial.number)
        summary = read_summary(folder)
        complete = trial.state == TrialState.COMPLETE
        row: list[Any] = [rank if complete else None, trial.number]
        row += [trial_status(folder, trial), trial.value if complete else None]
        row += [summary.get(name) for name in RESULTS]
        row += [trial.params.get(name) for name in names]
        rows.append([*row, str(folder.relative_to(study.plan.folder))])
    return _text(rows)


def _text(rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def closing_lines(study: SharedStudy) -> list[str]:
    """What to say at the end: the best trial, importances and where everything is."""
    folder = shown_folder(study.plan.folder)
    name = shlex.quote(str(folder))
    lines = []
    shares = importances(study)
    if shares:
        texts = (f"{name} {share:.0%}" for name, share in shares.items())
        lines.append(f"importances: {', '.join(texts)}")
    ranking = ranked(study)
    if ranking and ranking[0].state == TrialState.COMPLETE:
        lines.append(f"best: trial {ranking[0].number}, {describe(study, ranking[0])}")
        lines.append(f"  kfac-run --config-dir {name} experiment=best  runs it again")
    elif ranking:
        what = "measured an error" if study.plan.objective == "error" else "reached target_error"
        lines.append(f"best: none, no trial {what}; {folder / RANKING} says how each ended")
    lines.append(f"  kfac-report {name}  draws and compares the trials")
    return lines


def describe(study: SharedStudy, trial: FrozenTrial) -> str:
    """A complete trial in words: its objective and its settings."""
    words = (d.described(trial.params[d.name]) for d in study.plan.space.dimensions)
    return f"{measured(study.plan.objective, trial.value)}: {' '.join(words)}"


def measured(objective: str, value: float | None) -> str:
    """A value of the objective in words."""
    if value is None:
        return "no value"
    if objective == "error":
        return f"training error {value:.4g}"
    unit = {"seconds": "optimizer seconds"}.get(objective, objective)
    return f"{value:.6g} {unit} to the target"
