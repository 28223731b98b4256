"""What a run that failed leaves in its folder: error.log, and a summary.json with its status."""

import contextlib
from pathlib import Path

from kfac_cli.config.settings_file import CONFIG_FILE, read_settings
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError
from kfac_cli.files import replace_text
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.summary import (
    ERROR_FILE,
    FAILED,
    SUMMARY_FILE,
    best_evaluation,
    write_summary,
)
from kfac_cli.recording.tables import EVALUATIONS_FILE, METRICS_FILE
from kfac_cli.recording.values import Row, iterations_done
from kfac_cli.run.description import settings_described


def record_failure(folder: Path, line: str, details: str, command: str) -> None:
    """Write the files, as far as that is possible: the disk may be what failed.

    A run without recorded settings, and one whose earlier summary is still there, has no summary
    of its failure.
    """
    with contextlib.suppress(OSError):
        replace_text(folder / ERROR_FILE, details)
    if not (folder / CONFIG_FILE).exists() or (folder / SUMMARY_FILE).exists():
        return
    with contextlib.suppress(OSError, UserError):
        config = validate(read_settings(folder / CONFIG_FILE))
        metrics = _rows(folder / METRICS_FILE)
        summary = settings_described(config, command, None) | {
            "status": FAILED,
            "reason": line,
            "iterations": iterations_done(metrics[-1]) if metrics else 0,
            "iterations_planned": config.iterations,
            **best_evaluation(_rows(folder / EVALUATIONS_FILE)),
        }
        write_summary(folder, summary)


def _rows(path: Path) -> list[Row]:
    """The rows of a table; none if it cannot be read, such as one with a row cut short."""
    try:
        return list(read_table(path))
    except (OSError, ValueError, TypeError):
        return []
