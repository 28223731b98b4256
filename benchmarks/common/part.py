"""A part of the benchmarks: what measures it, and its command, which prints and writes a section.

    python -m benchmarks.NAME [--small] [--output FILE]

`--small` takes sizes of seconds, for tests, and writes nothing unless `--output` names a file.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.common.document import PERFORMANCE, write_section
from benchmarks.common.machine import Machine
from kfac_cli.errors import UserError

NOTE = "Medians, and in parentheses the quartiles; ratios are formed within a round of one run."


@dataclass(frozen=True)
class Part:
    """A section of docs/performance.md.

    `measure` takes whether to use small sizes and returns the section's text. For the header are
    `note`, what its numbers are, `command`, a target of make, and `device`, what it measures on.
    """

    name: str
    title: str
    measure: Callable[[bool], str]
    note: str = NOTE
    command: str = "bench"
    device: str = "cpu"

    def section(self, small: bool) -> str:
        """Measure; the text says which command wrote it, and on which machine."""
        text = self.measure(small)
        header = f"Written by `make {self.command}` on {Machine.here(self.device)}."
        return f"## {self.title}\n\n{header} {self.note}\n\n{text}"


def run(parts: Sequence[Part], arguments: Sequence[str] | None = None) -> int:
    """Measure the parts, print each section and write it; 1 if one could not be measured."""
    parser = argparse.ArgumentParser(description=", ".join(part.title for part in parts))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    parser.add_argument("--output", type=Path, help="the document; default: docs/performance.md")
    given = parser.parse_args(arguments)
    path = given.output or (None if given.small else PERFORMANCE)
    failed = 0
    for part in parts:
        started = perf_counter()
        say(f"{part.title} ...")
        try:
            publish(part, given.small, path)
        except UserError as error:
            say(f"{part.name}: {error}")
            failed = 1
            continue
        say(f"{part.name}: {perf_counter() - started:.0f} s")
    return failed


def publish(part: Part, small: bool, path: Path | None) -> None:
    """Measure a part, print its section, and write it into a document if one is given."""
    text = part.section(small)
    print(f"\n{text}\n", flush=True)
    if path is not None:
        write_section(path, part.name, text)


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)
