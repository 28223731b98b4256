"""The command kfac-tune: read the command line, run or join a study, return an exit code."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

from kfac_cli.commands.main import FULL_ERROR, folder_name, run_stamp
from kfac_cli.errors import UserError, background_errors_logged, one_line, shown
from kfac_cli.signals import check_interrupted
from kfac_cli.tune.help_page import PAGE
from kfac_cli.tune.options import TuneOptions, is_option, read_options

EXIT_FAILED = 1
DEFAULT_FOLDER = "outputs/tune"
PROTOCOL = "--protocol"


def main() -> int:
    """Run the command line in sys.argv; return 0, or 1 after a failure.

    Raises KeyboardInterrupt, usually as Interrupted, if a signal ended it.
    """
    OmegaConf.register_new_resolver("run_stamp", run_stamp, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    try:
        with background_errors_logged():
            return _run(sys.argv[1:])
    except UserError as error:
        return _print_error(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _print_error(f"{where}{error.strerror or error}")
    except Exception as error:
        check_interrupted()
        if os.environ.get(FULL_ERROR) == "1":
            traceback.print_exc()
        return _print_error(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _run(arguments: Sequence[str]) -> int:
    protocol = PROTOCOL in arguments
    words = [word for word in arguments if word != PROTOCOL]
    if "--version" in words:
        print(f"kfac-tune {version('kfac-run')}")
        return 0
    if not words:
        print(PAGE, end="")
        return EXIT_FAILED
    for word in words:
        if word.startswith("-"):
            advice = f"the options are {PROTOCOL}, --help and --version"
            raise UserError(f"{shown(word)}: not recognized; {advice}")
    options, given = read_options([word for word in words if is_option(word)])
    settings = [word for word in words if not is_option(word)]
    _import_optuna()
    folder = _folder(options)
    if protocol:
        from kfac_cli.tune.protocol import run_protocol

        return run_protocol(folder, settings, options, given)
    from kfac_cli.tune.plan import start_or_join
    from kfac_cli.tune.worker import report, work

    return report(work(start_or_join(folder, settings, options, given)))


def _import_optuna() -> None:
    """Import Optuna and silence its own log; raises UserError if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "kfac-tune needs Optuna, an extra of kfac-run: pip install 'kfac-run[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _folder(options: TuneOptions) -> Path:
    text = f"{DEFAULT_FOLDER}/{run_stamp()}" if options.output is None else options.output
    return Path(text).expanduser().absolute()


def _print_error(line: str) -> int:
    print(f"kfac-tune: error: {one_line(line)}", file=sys.stderr)
    return EXIT_FAILED
