"""The study `cost`: section 8."""

from kfac_cli.paper.study import Finding, Job


class CostStudy:
    """What an iteration costs, by the paper's formula and on this machine."""

    name = "cost"
    figures = "section 8"
    description = "C₁ … C₆, and the cost of an iteration by the formula and measured, beside SGD"

    def run(self, job: Job) -> list[Finding]:
        """Measure iterations of both inverses and of SGD, and hold them against the formula."""
        from kfac_cli.paper.cost.work import run

        return run(job)


STUDY = CostStudy()
