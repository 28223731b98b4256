"""The command kfac-report: read its arguments, compare the runs, write the report."""

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from kfac_cli.errors import UserError, listed, one_line, shown
from kfac_cli.report.help_page import PAGE
from kfac_cli.signals import EXIT_SIGNAL, InterruptOnSignal
from kfac_cli.terminal import tolerant_output

EXIT_FAILED = 1
OPTIONS = ("output", "targets")
PATIENCE = 2.0
"""Seconds until a progress bar appears."""


@dataclass(frozen=True)
class Arguments:
    """The command line: folders of runs, where the report goes, targets if they were given."""

    paths: tuple[str, ...]
    output: Path
    targets: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 after an error, or 128 + the number of a signal."""
    words = sys.argv[1:] if arguments is None else arguments
    with tolerant_output():
        try:
            with InterruptOnSignal():
                return _run(words)
        except UserError as error:
            return _print_error(str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            return _print_error(f"{where}{error.strerror or error}")
        except KeyboardInterrupt as interruption:
            print("kfac-report: interrupted", file=sys.stderr)
            return EXIT_SIGNAL + int(getattr(interruption, "signal", signal.SIGINT))


def _print_error(line: str) -> int:
    print(f"kfac-report: error: {one_line(line)}", file=sys.stderr)
    return EXIT_FAILED


def parse(words: Sequence[str]) -> Arguments:
    """Read the command line. Raises UserError for a mistake."""
    parser = argparse.ArgumentParser(prog="kfac-report", add_help=False, exit_on_error=False)
    parser.add_argument("words", nargs="*")

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; kfac-report --help shows how it is used")

    parser.error = refuse  # type: ignore[method-assign]
    try:
        given, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        refuse(str(error))
    if unknown:
        refuse(f"{shown(unknown[0])}: no such option")
    paths, options = [], {}
    for word in given.words:
        name, equals, value = word.partition("=")
        if equals and name in OPTIONS:
            options[name] = value
        elif equals and name.isidentifier() and not os.path.lexists(word):
            raise UserError(f"{shown(word)}: must be a folder, or {listed(OPTIONS)}=VALUE")
        else:
            paths.append(word)
    if not paths:
        refuse("no folder given")
    if options.get("output") == "":
        raise UserError("output=: must name a folder")
    return Arguments(
        tuple(paths), Path(options.get("output", "report")).expanduser(), _targets(options)
    )


def _targets(options: dict[str, str]) -> tuple[float, ...]:
    text = options.get("targets")
    if text is None:
        return ()
    try:
        values = [float(part) for part in text.strip("[]").split(",")]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UserError(f"targets={shown(text)}: must be errors above 0, as targets=5,2")
    return tuple(sorted(dict.fromkeys(values), reverse=True))


def _run(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(PAGE, end="", flush=True)
        return 0
    if "--version" in words:
        from importlib.metadata import version

        print(f"kfac-report {version('kfac-run')}")
        return 0
    arguments = parse(words)
    # Numerical libraries are loaded here, so that help and mistakes answer at once.
    from kfac_cli.report.contents import contents
    from kfac_cli.report.runs import load_runs
    from kfac_cli.report.write import check_output, shown_path, write_report

    check_output(arguments.output)
    with ProgressBar() as bar:
        runs, complaints = load_runs(arguments.paths, bar.stage("reading runs"))
        for line in complaints:
            print(f"kfac-report: {line}", file=sys.stderr)
        if not runs:
            raise UserError("there is no run to compare")
        compared = contents(runs, complaints, arguments.targets)
        path = write_report(compared, runs, arguments.output, bar.stage("drawing figures"))
    for line in compared.headlines:
        print(one_line(line))
    print(f"{one_line(shown_path(path))}  {_counted(len(runs), 'run')}")
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class ProgressBar:
    """A progress bar on the terminal that appears when the work takes longer than PATIENCE."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str) -> Callable[[int, int], None]:
        """A function to be called with how much of a stage is done, and how much there is."""

        def update(done: int, whole: int) -> None:
            if self._bar is None:
                if not sys.stderr.isatty() or time.monotonic() - self._started < PATIENCE:
                    return
                from rich.console import Console
                from rich.progress import Progress

                self._bar = Progress(console=Console(stderr=True), transient=True)
                self._task = self._bar.add_task(name)
                self._bar.start()
            self._bar.update(self._task, description=name, completed=done, total=whole)

        return update
