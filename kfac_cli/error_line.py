"""The errors of a command as one line and an exit code. Nothing here needs Hydra or torch."""

import os
import sys
import traceback
from collections.abc import Callable

from kfac_cli.errors import ProcessLostError, UserError, one_line, os_error_line
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
    except (ProcessLostError, UserError) as error:
        line = str(error)
    except OSError as error:
        line = os_error_line(error)
    except Exception as error:
        check_interrupted()
        if os.environ.get(FULL_ERROR) == "1":
            traceback.print_exc()
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return print_error(name, line)


def print_error(name: str, line: str) -> int:
    """Print an error of a command; return the exit code of a failure."""
    print(f"{name}: error: {one_line(line)}", file=sys.stderr)
    return EXIT_FAILED
