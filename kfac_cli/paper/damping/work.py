"""Doing the study `damping`: figure 7."""

from kfac_cli.paper.damping.findings import findings
from kfac_cli.paper.damping.measure import GAMMAS, measure
from kfac_cli.paper.damping.outputs import damping_figure, damping_table
from kfac_cli.paper.damping.point import examined_run
from kfac_cli.paper.outputs import write_figure, write_table
from kfac_cli.paper.study import Finding, Job


def run(job: Job) -> list[Finding]:
    """Do or read the run, try every γ on its next update, and write and return what they show."""
    with examined_run(job) as session:
        at = f"iteration {session.iteration} of {session.dataset.name}"
        cases = len(session.training)
        points = measure(session, GAMMAS, job.say)
    write_table(job.folder, damping_table(points))
    write_figure(job.folder, damping_figure(points, f"Damping at {at}"))
    note = f"At {at}; h is the objective on all {cases:,} training cases."
    return findings(points, note)
