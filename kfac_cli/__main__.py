"""Entry point of kfac-run and python -m kfac_cli: handle signals, then load the command."""

import signal
import sys

from kfac_cli.signals import EXIT_SIGNAL, InterruptOnSignal, ignore_warnings_at_exit
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

        return print_page()
    interrupt = InterruptOnSignal()
    try:
        with interrupt:
            from kfac_cli.commands.main import main as run_command_line

            code = run_command_line()
            interrupt.check()
            return code
    except KeyboardInterrupt as interruption:
        return _interrupted(getattr(interruption, "signal", signal.SIGINT))
    except BaseException:  # interrupted code may raise another error instead
        if interrupt.signal is None:
            raise
        return _interrupted(interrupt.signal)


def _interrupted(number: int) -> int:
    ignore_warnings_at_exit()
    print("kfac-run: interrupted", file=sys.stderr)
    return EXIT_SIGNAL + number


if __name__ == "__main__":
    sys.exit(main())
