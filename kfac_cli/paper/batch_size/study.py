"""The study `batch-size`: figure 9."""

from kfac_cli.paper.study import Finding, Job


class BatchSizeStudy:
    """Progress per iteration and per case against the size of the mini-batches."""

    name = "batch-size"
    figures = "figure 9"
    description = "progress per iteration and per case against the mini-batch size, four methods"

    def run(self, job: Job) -> list[Finding]:
        """Run each method with each size and write figures, tables and the report."""
        from kfac_cli.paper.batch_size.work import run

        return run(job)


STUDY = BatchSizeStudy()
