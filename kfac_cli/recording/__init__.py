"""What a run leaves behind and shows: tables, TensorBoard, progress, summary, picture.

Importing this package is cheap; torch, TensorBoard and matplotlib load when they are first needed.
"""

from kfac_cli.recording.environment import environment, peak_memory
from kfac_cli.recording.figure import draw_run
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import best_figures, terminal_summary, write_summary
from kfac_cli.recording.tables import EVALUATION_COLUMNS, METRIC_COLUMNS, Table, read_table
from kfac_cli.recording.tensorboard import TensorBoardLog

__all__ = [
    "EVALUATION_COLUMNS",
    "METRIC_COLUMNS",
    "Progress",
    "Table",
    "TensorBoardLog",
    "best_figures",
    "draw_run",
    "environment",
    "peak_memory",
    "read_table",
    "terminal_summary",
    "write_summary",
]
