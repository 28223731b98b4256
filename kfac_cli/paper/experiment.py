"""An experiment that runs several methods on several problems and compares their progress."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kfac_cli.paper.curves import curves_figure, curves_table
from kfac_cli.paper.judgement import Comparison, MethodRuns, ratios_table
from kfac_cli.paper.methods import AVERAGED, PROBLEMS, Method, named
from kfac_cli.paper.option_values import jobs, names, refuse, seconds, whole_numbers
from kfac_cli.paper.outputs import write_figure, write_report_of, write_table
from kfac_cli.paper.runs import EXTENSIBLE, QUIET, PlannedRun, complete_runs
from kfac_cli.paper.study import Finding, Job
from kfac_cli.report.measures import ITERATIONS, SECONDS
from kfac_cli.report.runs import Run

CHOSEN = (
    *("dataset", "optimizer", "experiment", "schedule", "seed", "preset", "start_from"),
    *("optimizer.inverse", "hydra.run.dir"),
)
"""What the options and the methods choose, besides what makes a method the one that it is."""

TIMED_EVALUATIONS = 4
"""How many times as often those methods evaluate whose iterations are cheap, if time ends them."""

UNLIMITED = 1_000_000
"""Iterations of a run that its seconds end."""

Judge = Callable[[str, MethodRuns], list[Finding]]
"""Takes a problem, and the runs of each method on it."""


def run_experiment(
    job: Job, methods: Sequence[Method], comparisons: Sequence[Comparison], judge: Judge
) -> list[Finding]:
    """Do the runs that are missing; write what they show, and return what it says.

    That is the finding of each of the comparisons and what `judge` finds, on each problem.
    """
    problems = names(job.options, "problems", PROBLEMS)
    chosen = named(methods, names(job.options, "methods", [method.name for method in methods]))
    own = {word.partition("=")[0] for method in chosen for word in method.settings}
    refuse(job.settings, (*CHOSEN, *own))
    seeds = whole_numbers(job.options, "seeds")
    planned = {
        (problem, method.name, seed): _planned(job, problem, method, seed)
        for problem in problems
        for method in chosen
        for seed in seeds
    }
    done = complete_runs(list(planned.values()), job.folder, job.say, jobs(job.options))
    runs: dict[str, dict[str, list[Run]]] = {}
    for (problem, name, _), each in zip(planned, done, strict=True):
        runs.setdefault(problem, {}).setdefault(name, []).append(each)
    job.say("drawing figures")
    write_figure(job.folder, curves_figure("error", "training error", runs, (ITERATIONS, SECONDS)))
    write_table(job.folder, curves_table(runs))
    write_table(job.folder, ratios_table(comparisons, runs))
    write_report_of(job.folder, done)
    findings: list[Finding] = []
    for problem, of_problem in runs.items():
        findings += [comparison.finding(problem, of_problem) for comparison in comparisons]
        findings += judge(problem, of_problem)
    return findings


def _planned(job: Job, problem: str, method: Method, seed: int) -> PlannedRun:
    method = _as_long(method, job.settings)
    words = [*method.words(problem, job.scale), *QUIET, f"seed={seed}", AVERAGED]
    if (limit := seconds(job.options)) is not None:
        words += [*EXTENSIBLE, f"iterations={UNLIMITED}", f"max_optimizer_seconds={limit!r}"]
        words += method.without_end(job.scale, TIMED_EVALUATIONS)
    return PlannedRun(f"{problem}/{method.name}/{seed}", (*words, *job.settings))


def _as_long(method: Method, settings: Sequence[str]) -> Method:
    """The method with as many iterations as are set for all, which what it does at its end suits.

    Of a number that is none the check of the settings tells.
    """
    given = [word.partition("=")[2] for word in settings if word.startswith("iterations=")]
    try:
        iterations = int(given[-1])
    except (IndexError, ValueError):
        return method
    return replace(method, full=iterations, small=iterations)
