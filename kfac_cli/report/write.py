"""Write the report into a folder: the page, its figures as PNG and SVG, its tables as CSV."""

import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_bytes, replace_text, shown_folder
from kfac_cli.report.contents import Contents
from kfac_cli.report.draw_matplotlib import drawn
from kfac_cli.report.find import MARKS
from kfac_cli.report.page import page
from kfac_cli.report.pictures import Picture, pairs_of
from kfac_cli.report.runs import Run
from kfac_cli.report.runs_table import ending

PAGE_FILE = "report.html"
FIGURES, TABLES = "figures", "tables"

OWN_FILES = {
    TABLES: r"(time-to-target|verdicts|ranking|sensitivity|tuning|runs|settings)(-\d+)?\.csv",
    FIGURES: r"(curves|searches|inside|time)(-\d+)?(-(iterations|cases|seconds))?\.(png|svg)",
}
"""The names of all tables and figures; other files in these folders are not the report's."""

MAX_PICTURES = 60


def check_output(folder: Path) -> None:
    """Raise UserError if the report cannot go into this folder: it is a run's, or a file."""
    if any((folder / mark).exists() for mark in MARKS):
        raise UserError(f"output={shown(str(folder))}: holds a run; choose another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={shown(str(folder))}: is not a folder")


def write_report(
    contents: Contents,
    runs: Sequence[Run],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write all files, in place of those of an earlier report; return the page's path.

    `progress` is called with the number of steps done and that of all. Raises OSError if a file
    cannot be written.
    """
    steps = len(contents.figures) + 2
    step = 0

    def done() -> None:
        nonlocal step
        step += 1
        if progress is not None:
            progress(step, steps)

    for name in (FIGURES, TABLES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    written = set()
    for table in contents.tables:
        file = folder / TABLES / f"{table.name}.csv"
        replace_bytes(file, table.csv().encode(errors="backslashreplace"))
        written.add(file)
    for figure in contents.figures:
        for name, data in drawn(figure):
            replace_bytes(folder / FIGURES / name, data)
            written.add(folder / FIGURES / name)
        done()
    pictures = _pictures(contents, runs)
    done()
    path = folder / PAGE_FILE
    replace_text(path, page(contents, pictures).encode(errors="replace").decode())
    _remove_others(folder, written)
    done()
    return path


def _remove_others(folder: Path, written: Container[Path]) -> None:
    """Remove the files that an earlier report left and this one did not write."""
    for name, own in OWN_FILES.items():
        for file in (folder / name).iterdir():
            if re.fullmatch(own, file.name) and file not in written and file.is_file():
                file.unlink()


def _pictures(contents: Contents, runs: Sequence[Run]) -> list[tuple[str, str, Picture]]:
    """A picture of each run that left one, in the order of the groups, and how the run ended."""
    found: list[tuple[str, str, Picture]] = []
    for part in contents.parts:
        for group in part.problem.groups:
            for run in group.runs:
                if len(found) == MAX_PICTURES:
                    return found
                picture = pairs_of(run)
                if picture is not None:
                    seed = "" if run.seed is None else f", seed {run.seed}"
                    how = ending(run)
                    found.append((f"{group.label}{seed}", how.text if how.look else "", picture))
    return found


def shown_path(path: Path) -> str:
    """The path, relative to the current folder if it is inside."""
    return str(shown_folder(path.absolute()))
