"""Doing the study `fisher`: figures 2, 3, 5 and 6."""

from kfac_cli.files import replace_bytes
from kfac_cli.paper.fisher.example import train_example
from kfac_cli.paper.fisher.figures import figures
from kfac_cli.paper.fisher.findings import findings
from kfac_cli.paper.fisher.heat_map import drawn
from kfac_cli.paper.fisher.matrices import matrices_of
from kfac_cli.paper.fisher.tables import block_table
from kfac_cli.paper.study import Finding, Job


def run(job: Job) -> list[Finding]:
    """Train the network, compute the matrices, draw them and compare them with the paper's."""
    job.folder.mkdir(parents=True, exist_ok=True)
    example = train_example(job)
    matrices = matrices_of(example, job.say)
    job.say("drawing")
    for figure in figures(matrices, example.layers):
        for name, content in drawn(figure):
            replace_bytes(job.folder / name, content)
    table = block_table(matrices, example.layers)
    replace_bytes(job.folder / f"{table.name}.csv", table.csv().encode())
    return findings(matrices, example)
