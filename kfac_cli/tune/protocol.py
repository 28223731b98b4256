"""A comparison after AlgoPerf: every optimizer gets the same number of trials and the same budget.

Dahl et al. (2023), Benchmarking neural network training algorithms, section 4: a study is five
quasi-random trials and counts by its best; the median study counts for the optimizer. AlgoPerf has
five studies and scores the time to a validation target; here there are three by default, scored by
the training error or what it takes to reach a target of it.
"""

import csv
import io
import math
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import ChoiceSweep
from optuna.trial import TrialState

from kfac_cli.errors import UserError, listed, one_line, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.tune.locks import locked
from kfac_cli.tune.options import IDENTITY, TuneOptions
from kfac_cli.tune.plan import Plan, is_study, new_plan, start_or_join
from kfac_cli.tune.results import measured
from kfac_cli.tune.space import parsed_word, ready_made_names
from kfac_cli.tune.study import SharedStudy
from kfac_cli.tune.worker import TrialsFailingError, work

TABLE = "protocol.csv"
TRIALS = 5
FIXED = ("search", "sampler", "pruner", "storage")
"""The options that the rule leaves no choice about."""


class Result(NamedTuple):
    """A study: its best value, infinite if it has none, nan while trials are left; its failures."""

    best: float
    failed: int


def run_protocol(
    folder: Path, words: Sequence[str], options: TuneOptions, given: dict[str, Any]
) -> int:
    """Run or continue every study; print the table and write protocol.csv.

    Each study is one in FOLDER/OPTIMIZER/NUMBER. Returns 0, or 1 if no trial has a value or a study
    was given up. Raises UserError, before anything runs, for wrong settings.
    """
    _check(words, given)
    optimizers, others = _optimizers(words)
    mine = {optimizer: _options(optimizer, options) for optimizer in optimizers}
    checked = [new_plan(folder, others, mine[optimizer]) for optimizer in optimizers]
    first = checked[0]
    if (limit := first.first.config.max_seconds) is not None:
        raise UserError(
            f"max_seconds={limit:g}: counts evaluations too; --protocol compares by the time of "
            f"the steps: max_optimizer_seconds={limit:g}"
        )
    plans = _plans(folder, others, first.first.config.seed, mine)
    studies: list[list[SharedStudy]] = []
    given_up: list[Plan] = []
    for optimizer in optimizers:
        print(f"{optimizer}:", flush=True)
        studies.append([_worked(plan, given_up) for plan in plans[optimizer]])
    # only now: others may have ended since the trials that they were running
    results = [[_result(study) for study in row] for row in studies]
    unfinished = sum(math.isnan(result.best) for row in results for result in row)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        replace_text(folder / TABLE, _csv(optimizers, results))
    print("\n".join(_table(optimizers, results, first.objective, first.trials)))
    if unfinished:
        which = "1 study has" if unfinished == 1 else f"{unfinished} studies have"
        print(
            f"  {which} trials to run, or running in other processes, and no score yet: the same "
            "command completes the table"
        )
    name = shlex.quote(str(shown_folder(folder)))
    print(f"  kfac-report {name}  draws and compares the trials", flush=True)
    nothing = all(result.best == math.inf for row in results for result in row)
    return int(nothing or bool(given_up))


def _worked(plan: Plan, given_up: list[Plan]) -> SharedStudy:
    """Run the trials of a study; one with too many failures is given up, and the others go on."""
    try:
        return work(plan)
    except TrialsFailingError as error:
        print(one_line(f"{shown_folder(plan.folder)}: {error}"), file=sys.stderr, flush=True)
        given_up.append(plan)
        return SharedStudy(plan)


def _check(words: Sequence[str], given: dict[str, Any]) -> None:
    """Raise UserError for what the rule leaves no choice about."""
    for name in FIXED:
        if name in given:
            raise UserError(
                f"{name}={shown(given[name])}: is not for --protocol, which has its own"
            )
    for parsed in map(parsed_word, words):
        if parsed.key_or_group == "seed" and parsed.is_sweep_override():
            raise UserError(
                f"{shown(parsed.input_line)}: --protocol gives each study another seed; give that "
                "of the first, seed=N"
            )


def _optimizers(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The optimizers that optimizer= lists, and the other words."""
    mine = [word for word in words if word.partition("=")[0] == "optimizer"]
    if len(mine) != 1:
        raise UserError("--protocol: needs optimizer=A,B,C, the optimizers to compare")
    value = parsed_word(mine[0]).value()
    names = list(value.list) if isinstance(value, ChoiceSweep) else [value]
    known = ready_made_names()
    for name in names:
        if name not in known:
            raise UserError(
                f"optimizer={shown(name)}: --protocol needs optimizers with a ready-made space, "
                f"{listed(known)}"
            )
    if len(set(names)) < len(names):
        raise UserError(f"{shown(mine[0])}: names an optimizer twice")
    return [str(name) for name in names], [word for word in words if word not in mine]


def _options(optimizer: str, options: TuneOptions) -> TuneOptions:
    """The options of an optimizer's studies."""
    rule: dict[str, Any] = {"search": optimizer, "sampler": "qmc", "pruner": "none"}
    return replace(options, output=None, trials=options.trials or TRIALS, **rule)


def _plans(
    folder: Path, words: Sequence[str], seed: int, options: Mapping[str, TuneOptions]
) -> dict[str, list[Plan]]:
    """The plans of the studies of each optimizer, which are recorded.

    Studies that exist are joined first: they may refuse the words, before any new one has them.
    """

    def place(study: tuple[str, int]) -> Path:
        return folder / study[0] / str(study[1])

    studies = [(name, number) for name in options for number in range(options[name].studies)]
    plans = {}
    for study in sorted(studies, key=lambda study: not is_study(place(study))):
        name, number = study
        own = [*words, f"seed={seed + number}"]
        plans[study] = _join(place(study), number, own, options[name])
    return {name: [plans[study] for study in studies if study[0] == name] for name in options}


def _join(folder: Path, number: int, words: Sequence[str], options: TuneOptions) -> Plan:
    """The plan of a study, which has a sampler's seed of its own."""
    own = replace(options, sampler_seed=options.sampler_seed + number)
    given = {name: getattr(own, name) for name in IDENTITY}
    return start_or_join(folder, words, own, given)


def _result(study: SharedStudy) -> Result:
    """The result of a study; trials beyond those of the protocol do not count."""
    trials = [trial for trial in study.trials() if trial.number < study.plan.trials]
    failed = sum(trial.state == TrialState.FAIL for trial in trials)
    running = any(trial.state == TrialState.RUNNING for trial in trials)
    if running or len(trials) < study.plan.trials:
        return Result(math.nan, failed)
    values = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    return Result(min((v for v in values if v is not None), default=math.inf), failed)


def _median(row: Sequence[Result]) -> float:
    """The median of the studies of an optimizer; nan while one has no score."""
    scores = [result.best for result in row]
    return math.nan if any(map(math.isnan, scores)) else statistics.median(scores)


def _table(
    optimizers: Sequence[str], results: Sequence[Sequence[Result]], objective: str, trials: int
) -> list[str]:
    """The optimizers, the best first and the open ones last, with the scores of their studies."""

    def place(row: tuple[str, Sequence[Result]]) -> tuple[bool, float]:
        return math.isnan(_median(row[1])), _median(row[1])

    rows = sorted(zip(optimizers, results, strict=True), key=place)
    width, studies = max(len(name) for name in optimizers), len(results[0])
    even = "" if studies % 2 else " (the mean of the middle two)"
    lines = [f"median of {studies} studies{even}, each the best of {trials} quasi-random trials:"]
    for name, row in rows:
        each = ", ".join(_short(result.best) for result in row)
        lines.append(f"  {name:<{width}}  {_score(row, objective)}  ({each})")
        lines += [
            f"    study {number} has {trials - result.failed} usable trials: {result.failed} of "
            f"{trials} failed"
            for number, result in enumerate(row)
            if result.failed
        ]
    return lines


def _score(row: Sequence[Result], objective: str) -> str:
    """The median of an optimizer's studies in words."""
    median = _median(row)
    if math.isnan(median):
        return "not finished"
    if math.isfinite(median):
        return measured(objective, median)
    missing = sum(math.isinf(result.best) for result in row)
    what = "measured no error" if objective == "error" else "did not reach the target"
    return f"{missing} of {len(row)} studies {what}"


def _short(score: float) -> str:
    if math.isnan(score):
        return "not finished"
    return "none" if math.isinf(score) else f"{score:.4g}"


def _csv(optimizers: Sequence[str], results: Sequence[Sequence[Result]]) -> str:
    numbers = range(len(results[0]))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [f"{name}_{number}" for name in ("study", "failed") for number in numbers]
    writer.writerow(["optimizer", "median", *columns])
    for name, row in zip(optimizers, results, strict=True):
        values = (_median(row), *(result.best for result in row))
        scores = ("" if math.isnan(value) else value for value in values)
        writer.writerow([name, *scores, *(result.failed for result in row)])
    return buffer.getvalue()
