"""The study `compare`: figures 10 and 11."""

from kfac_cli.paper.study import Finding, Job


class CompareStudy:
    """Every method on every problem, by iterations and by optimizer seconds."""

    name = "compare"
    figures = "figures 10 and 11"
    description = "K-FAC, the tuned baseline, Adam, AdamW and Muon, by iterations and by seconds"

    def run(self, job: Job) -> list[Finding]:
        """Run the methods, compare them and write figures, tables and the report."""
        from kfac_cli.paper.compare.findings import COMPARISONS, average_findings
        from kfac_cli.paper.compare.methods import METHODS
        from kfac_cli.paper.experiment import run_experiment

        return run_experiment(job, METHODS, COMPARISONS, average_findings)


STUDY = CompareStudy()
