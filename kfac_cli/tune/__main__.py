"""Entry point of kfac-tune and python -m kfac_cli.tune: handle signals, then load the command."""

import sys

from kfac_cli.run.command import exit_code_in_processes
from kfac_cli.run.launched import rank
from kfac_cli.terminal import exit_code_of_text, tolerant_output
from kfac_cli.tune.help_page import PAGE


def main() -> int:
    """Run the command line in sys.argv; return 0, 1 after a failure or 128 + a signal's number.

    What the terminal does changes none of these.
    """
    with tolerant_output():
        if {"-h", "--help"} & set(sys.argv[1:]):
            if rank() > 0:
                return 0
            print(PAGE, end="")
            return exit_code_of_text("kfac-tune")
        return exit_code_in_processes("kfac-tune", _command)


def _command() -> int:
    from kfac_cli.tune.main import main as run_command_line

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
