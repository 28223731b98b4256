"""Doing the study `compare`: figures 10 and 11."""

from kfac_cli.paper.compare.findings import COMPARISONS, average_findings
from kfac_cli.paper.compare.methods import METHODS
from kfac_cli.paper.experiment import run_experiment
from kfac_cli.paper.study import Finding, Job


def run(job: Job) -> list[Finding]:
    """Run every method on every problem; write and return what the runs show."""
    return run_experiment(job, METHODS, COMPARISONS, average_findings)
