"""The command kfac-tune: read the command line, run or join a study, return an exit code."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

from kfac_cli.commands.main import folder_name, run_stamp
from kfac_cli.config.completion import absolute_path
from kfac_cli.error_line import EXIT_FAILED, exit_code_or_error
from kfac_cli.errors import UserError, background_errors_logged, shown
from kfac_cli.tune.help_page import PAGE
from kfac_cli.tune.options import TuneOptions, is_option, read_options

DEFAULT_FOLDER = "outputs/tune"
PROTOCOL = "--protocol"


def main() -> int:
    """Run the command line in sys.argv; return 0, or 1 after a failure.

    Raises KeyboardInterrupt, usually as Interrupted, if a signal ended it.
    """
    OmegaConf.register_new_resolver("run_stamp", run_stamp, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    with background_errors_logged():
        return exit_code_or_error("kfac-tune", lambda: _run(sys.argv[1:]))


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
    if "studies" in given and not protocol:
        raise UserError(f"studies={shown(given['studies'])}: is for {PROTOCOL} only")
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
            "kfac-tune needs Optuna: pip install '.[tune]' in the folder of kfac-run's source"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _folder(options: TuneOptions) -> Path:
    text = f"{DEFAULT_FOLDER}/{run_stamp()}" if options.output is None else options.output
    return Path(absolute_path("output", text))
