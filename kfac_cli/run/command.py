"""A command in the processes that torchrun or another launcher has started for it."""

from collections.abc import Callable

from kfac_cli.error_line import print_error
from kfac_cli.errors import ProcessLostError, UserError, error_text
from kfac_cli.run.launched import launched, rank
from kfac_cli.signals import exit_code_of


def exit_code_in_processes(name: str, command: Callable[[], int]) -> int:
    """The exit code of a command of this name, as `exit_code_of`.

    Of several processes the first one executes it, and the others take part in its runs.
    """
    if not launched():
        return exit_code_of(name, command)
    if rank() > 0:
        from kfac_cli.run.follower import follow

        return follow(name)
    return exit_code_of(name, lambda: _lead(name, command))


def _lead(name: str, command: Callable[[], int]) -> int:
    from kfac_cli.run.leader import leading

    try:
        with leading():
            return command()
    except (ProcessLostError, UserError) as error:
        return print_error(name, error_text(error))
