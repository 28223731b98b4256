"""The study `compare`: figures 10 and 11."""

from kfac_cli.paper.study import Finding, Job


class CompareStudy:
    """Every method on every problem, by iterations and by optimizer seconds."""

    name = "compare"
    figures = "figures 10 and 11"
    description = "K-FAC, the tuned baseline, Adam, AdamW and Muon by iterations and seconds"

    def run(self, job: Job) -> list[Finding]:
        """Run the methods, compare them and write figures, tables and the report."""
        from kfac_cli.paper.compare.work import run

        return run(job)


STUDY = CompareStudy()
