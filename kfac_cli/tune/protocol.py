"""AlgoPerf's rule: every optimizer gets the same number of trials and the same budget.

Dahl et al. (2023), Benchmarking neural network training algorithms, section 4: a study is five
quasi-random trials and counts by its best; the median study counts for the optimizer.
"""

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep
from optuna.trial import TrialState

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.tune.locks import locked
from kfac_cli.tune.options import IDENTITY, TuneOptions
from kfac_cli.tune.plan import Plan, new_plan, start_or_join
from kfac_cli.tune.results import measured
from kfac_cli.tune.space import parsed_word, ready_made_names
from kfac_cli.tune.study import SharedStudy
from kfac_cli.tune.worker import work

TABLE = "protocol.csv"
TRIALS = 5
FIXED = ("search", "sampler", "pruner", "storage")
"""The options that the rule leaves no choice about."""


def run_protocol(
    folder: Path, words: Sequence[str], options: TuneOptions, given: dict[str, Any]
) -> int:
    """Run or continue every study; print the table and write protocol.csv.

    Each study is one in FOLDER/OPTIMIZER/NUMBER. Returns 0, or 1 if no trial has a value. Raises
    UserError, before anything runs, for wrong settings.
    """
    for name in FIXED:
        if name in given:
            raise UserError(
                f"{name}={shown(given[name])}: is not for --protocol, which has its own"
            )
    optimizers, others = _optimizers(words)
    mine = {optimizer: _options(optimizer, options) for optimizer in optimizers}
    checked = [new_plan(folder, others, mine[optimizer]) for optimizer in optimizers]
    first = checked[0]
    if (limit := first.first.config.max_seconds) is not None:
        raise UserError(
            f"max_seconds={limit:g}: counts evaluations too; --protocol compares by the time of "
            f"the steps: max_optimizer_seconds={limit:g}"
        )
    studies: list[list[SharedStudy]] = []
    for optimizer in optimizers:
        print(f"{optimizer}:", flush=True)
        plans = [
            _join(
                folder / optimizer / str(number),
                number,
                [*others, f"seed={first.first.config.seed + number}"],
                mine[optimizer],
            )
            for number in range(options.studies)
        ]
        studies.append([work(plan) for plan in plans])
    # only now: others may have ended since the trials that they were running
    scores = [[_score(study) for study in row] for row in studies]
    unfinished = sum(math.isnan(score) for row in scores for score in row)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        replace_text(folder / TABLE, _csv(optimizers, scores))
    print("\n".join(_table(optimizers, scores, first.objective, first.trials)))
    if unfinished:
        which = "1 study has" if unfinished == 1 else f"{unfinished} studies have"
        print(
            f"  {which} trials running in other processes, and no score yet: the same command "
            "completes the table"
        )
    print(f"  kfac-report {shown_folder(folder)}  draws and compares the trials", flush=True)
    return int(all(score == math.inf for row in scores for score in row))


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


def _join(folder: Path, number: int, words: Sequence[str], options: TuneOptions) -> Plan:
    """The plan of a study, which has a sampler's seed of its own."""
    own = replace(options, sampler_seed=options.sampler_seed + number)
    given = {name: getattr(own, name) for name in IDENTITY if name != "objective"}
    return start_or_join(folder, words, own, given)


def _score(study: SharedStudy) -> float:
    """The best value of a study; infinite if no trial has one, nan while any of them runs."""
    if study.trials((TrialState.RUNNING,)):
        return math.nan
    values = [trial.value for trial in study.trials((TrialState.COMPLETE,))]
    return min((value for value in values if value is not None), default=math.inf)


def _median(scores: Sequence[float]) -> float:
    """The median of the studies of an optimizer; nan while one has no score."""
    return math.nan if any(map(math.isnan, scores)) else statistics.median(scores)


def _table(
    optimizers: Sequence[str], scores: Sequence[Sequence[float]], objective: str, trials: int
) -> list[str]:
    """The optimizers, the best first and the open ones last, with the scores of their studies."""

    def place(row: tuple[str, Sequence[float]]) -> tuple[bool, float]:
        return math.isnan(_median(row[1])), _median(row[1])

    rows = sorted(zip(optimizers, scores, strict=True), key=place)
    width = max(len(name) for name in optimizers)
    lines = [f"median of {len(scores[0])} studies, each the best of {trials} quasi-random trials:"]
    for name, row in rows:
        median = _median(row)
        score = measured(objective, median)
        if not math.isfinite(median):
            score = "not finished" if math.isnan(median) else "no trial reached it"
        each = ", ".join(map(_short, row))
        lines.append(f"  {name:<{width}}  {score}  ({each})")
    return lines


def _short(score: float) -> str:
    if math.isnan(score):
        return "not finished"
    return "none" if math.isinf(score) else f"{score:.4g}"


def _csv(optimizers: Sequence[str], scores: Sequence[Sequence[float]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["optimizer", "median", *(f"study_{n}" for n in range(len(scores[0])))])
    for name, row in zip(optimizers, scores, strict=True):
        values = (_median(row), *row)
        writer.writerow([name, *("" if math.isnan(value) else value for value in values)])
    return buffer.getvalue()
