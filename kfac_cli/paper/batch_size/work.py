"""Doing the study `batch-size`: its runs, figures, tables, report and findings."""

from collections.abc import Mapping, Sequence

from kfac_cli.paper.batch_size.exponent import Exponent, counted_from, exponents
from kfac_cli.paper.batch_size.plan import METHODS, SIZES, Plan, training_cases
from kfac_cli.paper.batch_size.statements import findings
from kfac_cli.paper.curves import curves_figure, curves_table
from kfac_cli.paper.option_values import batch_sizes, jobs, refuse, whole_numbers
from kfac_cli.paper.outputs import write_figure, write_report_of, write_table
from kfac_cli.paper.runs import complete_runs
from kfac_cli.paper.study import Finding, Job
from kfac_cli.report.measures import CASES, ITERATIONS
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Table, number_cell, text_cell

CHOSEN = (
    *("dataset", "optimizer", "experiment", "schedule", "schedule.size", "seed", "start_from"),
    *("preset", "optimizer.inverse", "optimizer.momentum", "hydra.run.dir", "iterations"),
)
"""What the study chooses itself."""


def run(job: Job) -> list[Finding]:
    """Do the runs that are missing, and write and return what they show."""
    refuse(job.settings, CHOSEN)
    seeds, beside = whole_numbers(job.options, "seeds"), jobs(job.options)
    sizes = batch_sizes(job.options, SIZES[job.scale], training_cases(job))
    plan = Plan(job, sizes, seeds)
    complete_runs(plan.warm_ups(), job.folder, job.say, beside)
    planned = plan.runs()
    done = complete_runs(list(planned.values()), job.folder, job.say, beside)
    runs: dict[str, dict[int, list[Run]]] = {method.name: {} for method in METHODS}
    for (name, size, _), each in zip(planned, done, strict=True):
        counted = counted_from(each, plan.first_iteration(name))
        runs[name].setdefault(size, []).append(counted)
    found = {name: _by_seed(of_method) for name, of_method in runs.items()}
    job.say("drawing figures")
    by_size = {
        name: {f"m = {size}": each for size, each in of_method.items()}
        for name, of_method in runs.items()
    }
    figure = curves_figure("batch-size", "training error", by_size, (ITERATIONS, CASES))
    write_figure(job.folder, figure)
    write_table(job.folder, curves_table(by_size, ("method", "size")))
    write_table(job.folder, _exponents_table(found, sizes, plan.seeds))
    write_report_of(job.folder, done)
    return findings(found, plan)


def _by_seed(runs: Mapping[int, Sequence[Run]]) -> list[list[Exponent]]:
    """The exponents of each seed."""
    seeds = range(len(next(iter(runs.values()))))
    return [exponents({size: each[place] for size, each in runs.items()}) for place in seeds]


def _exponents_table(
    found: Mapping[str, Sequence[Sequence[Exponent]]], sizes: Sequence[int], seeds: Sequence[int]
) -> Table:
    columns = ("method", "seed", "error", "exponent", *(f"iterations, m = {m}" for m in sizes))
    rows = tuple(
        (
            text_cell(name),
            number_cell(seed),
            *(number_cell(x) for x in (exponent.error, exponent.value, *exponent.iterations)),
        )
        for name, of_method in found.items()
        for seed, of_seed in zip(seeds, of_method, strict=True)
        for exponent in of_seed
    )
    return Table("exponents", "exponents", columns, rows)
