"""The command kfac-report: compare the runs and write the report, or test claims about them."""

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kfac_cli.error_line import EXIT_FAILED, print_error
from kfac_cli.errors import UserError, counted, error_text, one_line
from kfac_cli.report.arguments import Arguments, claims, parse
from kfac_cli.report.help_page import PAGE
from kfac_cli.signals import exit_code_of
from kfac_cli.terminal import tolerant_output

if TYPE_CHECKING:
    from kfac_cli.report.runs import Run

EXIT_OF_OUTCOME = {"held": 0, "did not hold": 1, "too few runs": 2, "too short runs": 2}
EXIT_FAILED_CLAIM = 3
"""After an error in testing a claim, where 1 means that it did not hold."""

PATIENCE = 2.0
"""Seconds until a progress bar appears."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, what a claim's outcome stands for, or that of an error.

    After a signal it is 128 + its number.
    """
    words = sys.argv[1:] if arguments is None else arguments
    with tolerant_output():
        return exit_code_of("kfac-report", lambda: _checked(words))


def _checked(words: Sequence[str]) -> int:
    try:
        return _run(words)
    except (OSError, UserError) as error:
        failed = EXIT_FAILED_CLAIM if claims(words) else EXIT_FAILED
        return print_error("kfac-report", error_text(error), failed)
    except Exception:
        if not claims(words):
            raise
        traceback.print_exc()  # a bug, whose exit code must not say that the claim did not hold
        return EXIT_FAILED_CLAIM


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
    if arguments.lists_references:
        from kfac_cli.report.published_curves import listing

        print(listing(), end="")
        return 0
    return _test_claims(arguments) if arguments.claims else _write(arguments)


def _write(arguments: Arguments) -> int:
    from kfac_cli.report.contents import contents
    from kfac_cli.report.published_curves import load_references
    from kfac_cli.report.write import check_output, shown_path, write_report

    check_output(arguments.output)
    curves = load_references(arguments.references)
    with ProgressBar() as bar:
        runs, complaints = _load(arguments, bar)
        references = [curve.drawn(arguments.reference_seconds) for curve in curves]
        datasets = {run.dataset for run in runs}
        for curve in curves:
            if curve.dataset not in (None, *datasets):
                line = f"--reference {curve.name}: is not drawn: no run is on {curve.dataset}"
                complaints.append(line)
                print(f"kfac-report: {line}", file=sys.stderr)
        compared = contents(runs, complaints, arguments.targets, references)
        path = write_report(compared, runs, arguments.output, bar.stage("drawing figures"))
    for line in compared.headlines:
        print(one_line(line))
    print(f"{one_line(shown_path(path))}  {counted(len(runs), 'run')}")
    return 0


def _test_claims(arguments: Arguments) -> int:
    from kfac_cli.report.decision import decide

    with ProgressBar() as bar:
        runs, _ = _load(arguments, bar)
    decisions = [decide(claim, runs, arguments.level) for claim in arguments.claims]
    print("\n\n".join(str(decision) for decision in decisions))
    codes = [EXIT_OF_OUTCOME[decision.outcome] for decision in decisions]
    return 1 if 1 in codes else max(codes)


def _load(arguments: Arguments, bar: "ProgressBar") -> tuple["list[Run]", list[str]]:
    from kfac_cli.report.runs import load_runs

    runs, complaints = load_runs(arguments.paths, bar.stage("reading runs"))
    for line in complaints:
        print(f"kfac-report: {line}", file=sys.stderr)
    if not runs:
        raise UserError("there is no run to compare")
    return runs, complaints


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
