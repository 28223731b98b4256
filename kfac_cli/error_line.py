"""The errors of a command as one line and an exit code. Nothing here needs Hydra or torch."""

import os
import sys
import traceback
from collections.abc import Callable

from kfac_cli.errors import ProcessLostError, UserError, error_text, one_line
from kfac_cli.signals import check_interrupted

EXIT_FAILED = 1
FULL_ERROR = "HYDRA_FULL_ERROR"
"""The variable that asks for tracebacks; Hydra's, which kfac-run obeys too."""


def exit_code_or_error(name: str, command: Callable[[], int]) -> int:
    """The exit code of a command, 1 after an error, which is printed as one line with its name.

    Raises KeyboardInterrupt, usually as Interrupted, if a signal ended it.
    """
    try:
        return command()
    except (OSError, ProcessLostError, UserError) as error:
        return print_error(name, error_text(error))
    except Exception as error:
        check_interrupted()
        if os.environ.get(FULL_ERROR) == "1":
            traceback.print_exc()
        return print_error(name, error_text(error))


def print_error(name: str, line: str, code: int = EXIT_FAILED) -> int:
    """Print an error of a command; return the exit code."""
    print(f"{name}: error: {one_line(line)}", file=sys.stderr, flush=True)
    return code
