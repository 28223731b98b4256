"""The study `damping`: figure 7."""

from kfac_cli.paper.study import Finding, Job


class DampingStudy:
    """What one update achieves for every γ: raw, re-scaled and with momentum, by both inverses."""

    name = "damping"
    figures = "figure 7"
    description = (
        "improvement of the objective against γ for raw, re-scaled and momentum updates, at the "
        "point that run=FOLDER has reached"
    )

    def run(self, job: Job) -> list[Finding]:
        """Do or read the run, try every γ on its next update, and hold them against the paper."""
        from kfac_cli.paper.damping.findings import findings
        from kfac_cli.paper.damping.measure import GAMMAS, measure
        from kfac_cli.paper.damping.outputs import damping_figure, damping_table
        from kfac_cli.paper.damping.point import examined_run
        from kfac_cli.paper.outputs import write_figure, write_table

        session = examined_run(job)
        at = f"iteration {session.iteration} of {session.dataset.name}"
        points = measure(session, GAMMAS, job.say)
        write_table(job.folder, damping_table(points))
        write_figure(job.folder, damping_figure(points, f"Damping at {at}"))
        cases = len(session.training)
        note = f"At {at}; h is the objective on all {cases:,} training cases."
        return findings(points, note)


STUDY = DampingStudy()
