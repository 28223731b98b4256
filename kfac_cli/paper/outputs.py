"""Writing a study's figures and tables into its folder."""

from collections.abc import Sequence
from pathlib import Path

from kfac_cli.files import replace_bytes
from kfac_cli.report.contents import contents
from kfac_cli.report.draw_matplotlib import drawn
from kfac_cli.report.figures import Figure
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Table
from kfac_cli.report.write import write_report

REPORT = "report"


def write_figure(folder: Path, figure: Figure) -> None:
    """Write the figure as PNG and SVG, one of each for every choice of its x axis."""
    for name, data in drawn(figure):
        replace_bytes(folder / name, data)


def write_table(folder: Path, table: Table) -> None:
    """Write the table as CSV."""
    replace_bytes(folder / f"{table.name}.csv", table.csv().encode(errors="backslashreplace"))


def write_report_of(folder: Path, runs: Sequence[Run]) -> None:
    """Write the report of the runs, as `kfac-report` does, into the folder `report`."""
    write_report(contents(runs), runs, folder / REPORT)
