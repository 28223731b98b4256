"""The study `options`: statements of sections 6.3, 8 and 13 about single options."""

from kfac_cli.paper.study import Finding, Job


class OptionsStudy:
    """Pairs of methods that differ in one option."""

    name = "options"
    figures = "sections 6.3, 8 and 13"
    description = "factored or exact Tikhonov damping, τ₁ and τ₂, SGD with K-FAC's momentum"

    def run(self, job: Job) -> list[Finding]:
        """Run the pairs, compare them and write figures, tables and the report."""
        from kfac_cli.paper.experiment import run_experiment
        from kfac_cli.paper.options.statements import COMPARISONS, METHODS, time_findings

        return run_experiment(job, METHODS, COMPARISONS, time_findings)


STUDY = OptionsStudy()
