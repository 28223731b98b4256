"""Doing the study `options`: statements of the paper about single options."""

from kfac_cli.paper.experiment import run_experiment
from kfac_cli.paper.options.statements import COMPARISONS, METHODS, other_findings
from kfac_cli.paper.study import Finding, Job


def run(job: Job) -> list[Finding]:
    """Run pairs of methods that differ in one option; write and return what the runs show."""
    return run_experiment(job, METHODS, COMPARISONS, other_findings)
