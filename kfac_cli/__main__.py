"""Entry point of kfac-run and python -m kfac_cli: handle signals, then load the command."""

import sys

from kfac_cli.run.command import exit_code_in_processes
from kfac_cli.run.launched import rank
from kfac_cli.terminal import tolerant_output


def main() -> int:
    """Run the command line in sys.argv; return 0, 1 after a failure or 128 + a signal's number.

    What the terminal does changes none of these.
    """
    with tolerant_output():
        return _run()


def _run() -> int:
    """Import the rest of kfac-run here, so that Ctrl-C during the imports is handled."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from kfac_cli.commands.help_page import print_page

        return print_page() if rank() == 0 else 0
    return exit_code_in_processes("kfac-run", _command)


def _command() -> int:
    from kfac_cli.commands.main import main as run_command_line

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
