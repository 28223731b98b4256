"""Doing the study `cost`: its measurements, figure, tables and findings."""

from dataclasses import replace

from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.errors import counted
from kfac_cli.paper.cost.comparison import Comparison, comparisons
from kfac_cli.paper.cost.figure import cost_figure
from kfac_cli.paper.cost.measure import SizeTimes, measure
from kfac_cli.paper.cost.methods import BASELINE, INVERSES
from kfac_cli.paper.cost.plan import Plan
from kfac_cli.paper.cost.saved import environment_of, read_times, write_times
from kfac_cli.paper.cost.statements import findings
from kfac_cli.paper.cost.tables import constants_table, costs_table
from kfac_cli.paper.outputs import write_figure, write_table
from kfac_cli.paper.study import Finding, Job
from kfac_cli.run.runner import process_for
from kfac_cli.run.session import Session, make_session


def run(job: Job) -> list[Finding]:
    """Measure the sizes that are missing, and write and return what they show."""
    compared: list[Comparison] = []
    for times in _measured(job):
        compared += comparisons(times)
    job.say("drawing the figure")
    write_figure(job.folder, cost_figure(compared))
    write_table(job.folder, costs_table(compared))
    write_table(job.folder, constants_table(compared))
    return findings(compared)


def _measured(job: Job) -> list[SizeTimes]:
    plan = Plan(job)
    config = plan.config(BASELINE, 1)
    for optimizer in INVERSES.values():
        plan.config(optimizer, 1)
    dataset = load_dataset(config.dataset, resolve_data_dir(config.data_dir), config.dtype)
    sizes = plan.sizes(dataset)
    saved = [read_times(job.folder, cases) for cases in sizes]
    with process_for(config, None) as device:

        def make(optimizer: str, cases: int) -> Session:
            return make_session(plan.config(optimizer, cases), dataset, device)

        where = environment_of(device)
        here = [times if times and times.environment == where else None for times in saved]
        done = sum(times is not None for times in here)
        if elsewhere := sum(times is not None for times in saved) - done:
            job.say(f"{counted(elsewhere, 'size')} measured in another environment, again here")
        measured = []
        for cases, times in zip(sizes, here, strict=True):
            if times is None:
                job.say(f"m = {cases:,}: SGD and K-FAC with both inverses")
                times = replace(measure(make, cases), environment=where)
                write_times(job.folder, times)
            measured.append(times)
    if done:
        job.say(f"{counted(done, 'size')} of {len(sizes)} had been measured")
    return measured
