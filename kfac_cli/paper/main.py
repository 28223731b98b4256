"""The command kfac-paper: read the command line, run a study, print its findings."""

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version

from kfac_cli.error_line import EXIT_FAILED, exit_code_or_error
from kfac_cli.errors import one_line
from kfac_cli.files import exclusive_use, shown_folder
from kfac_cli.paper.arguments import Arguments, parse
from kfac_cli.paper.help_page import PAGE
from kfac_cli.paper.registry import listing
from kfac_cli.paper.study import Finding, Job
from kfac_cli.recording.layout import command_with_purpose
from kfac_cli.terminal import exit_code_of_text


def main() -> int:
    """Run the command line in sys.argv; return 0, or 1 after a failure.

    Raises KeyboardInterrupt, usually as Interrupted, if a signal ended it.
    """
    return exit_code_or_error("kfac-paper", lambda: _run(sys.argv[1:]))


def _run(words: Sequence[str]) -> int:
    if "--version" in words:
        print(f"kfac-paper {version('kfac-run')}")
        return exit_code_of_text("kfac-paper")
    if not words:
        print(PAGE, end="")
        return EXIT_FAILED
    if list(words) == ["list"]:
        print(listing(), end="")
        return exit_code_of_text("kfac-paper")
    return _study(parse(words), shlex.join(["kfac-paper", *words]))


def _study(arguments: Arguments, command: str) -> int:
    from kfac_cli.paper.findings import findings_text, read_findings
    from kfac_cli.paper.folder import end_study, make_folder, open_folder

    folder = arguments.folder
    make_folder(arguments)
    with exclusive_use(folder):
        if open_folder(arguments):
            findings = read_findings(folder)
            print(f"{shown_folder(folder)}: has ended; its findings are")
        else:
            findings = _run_study(arguments, command)
            end_study(arguments, findings, command)
    print(f"\n{findings_text(findings)}")
    print(f"{one_line(str(shown_folder(folder)))}")
    return 0


def _run_study(arguments: Arguments, command: str) -> list[Finding]:
    study = arguments.entry.load()
    job = Job(arguments.folder, arguments.scale, arguments.settings, _say, arguments.options)
    try:
        return study(job)
    except KeyboardInterrupt:
        hint = command_with_purpose(one_line(command), "continues from here", sys.stdout)
        print(f"\n{hint}", flush=True)
        raise


def _say(line: str) -> None:
    print(one_line(line), flush=True)
