"""Entry point of kfac-paper and python -m kfac_cli.paper: handle signals, then load the command."""

import sys

from kfac_cli.paper.help_page import PAGE
from kfac_cli.signals import exit_code_of
from kfac_cli.terminal import exit_code_of_text, tolerant_output


def main() -> int:
    """Run the command line in sys.argv; return 0, 1 after a failure or 128 + a signal's number.

    What the terminal does changes none of these.
    """
    with tolerant_output():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(PAGE, end="")
            return exit_code_of_text("kfac-paper")
        return exit_code_of("kfac-paper", _command)


def _command() -> int:
    from kfac_cli.paper.main import main as run_command_line

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
