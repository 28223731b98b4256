"""Doing the study `compare`: its runs, figures, tables, report and findings."""

from kfac_cli.paper.compare.findings import findings
from kfac_cli.paper.compare.methods import METHODS, PROBLEMS, Method, methods_named, small
from kfac_cli.paper.curves import curves_figure, curves_table
from kfac_cli.paper.options import jobs, names, refuse, seconds, whole_numbers
from kfac_cli.paper.outputs import write_figure, write_report_of, write_table
from kfac_cli.paper.runs import QUIET, PlannedRun, complete_runs
from kfac_cli.paper.study import Finding, Job, Scale
from kfac_cli.report.measures import ITERATIONS, SECONDS
from kfac_cli.report.runs import Run

CHOSEN = ("dataset", "optimizer", "experiment", "seed", "schedule")
"""What the study sets itself, by its options and methods."""

UNLIMITED = 1_000_000
"""Iterations of a run that its seconds end."""


def run(job: Job) -> list[Finding]:
    """Do the runs that are missing, and write and return what they show."""
    refuse(job.settings, CHOSEN)
    problems = names(
        job.options, "problems", PROBLEMS, PROBLEMS if job.scale is Scale.FULL else PROBLEMS[:1]
    )
    known = [method.name for method in METHODS]
    methods = methods_named(names(job.options, "methods", known, known))
    seeds = whole_numbers(job.options, "seeds", (0,))
    planned = {
        (problem, method.name, seed): _planned(job, problem, method, seed)
        for problem in problems
        for method in methods
        for seed in seeds
    }
    done = complete_runs(list(planned.values()), job.folder, job.say, jobs(job.options))
    runs: dict[str, dict[str, list[Run]]] = {}
    for (problem, name, _), each in zip(planned, done, strict=True):
        runs.setdefault(problem, {}).setdefault(name, []).append(each)
    job.say("drawing figures")
    write_figure(job.folder, curves_figure("error", "training error", runs, (ITERATIONS, SECONDS)))
    write_table(job.folder, curves_table("error", runs))
    write_report_of(job.folder, done)
    return [finding for problem in problems for finding in findings(problem, runs[problem])]


def _planned(job: Job, problem: str, method: Method, seed: int) -> PlannedRun:
    words = [*method.words(problem, job.scale), *QUIET, f"seed={seed}", "polyak.start=0"]
    if job.scale is Scale.SMALL:
        words += small(problem)
    if (limit := seconds(job.options)) is not None:
        words += [f"iterations={UNLIMITED}", f"max_seconds={limit:g}"]
    return PlannedRun(f"{problem}/{method.name}/{seed}", (*words, *job.settings))
