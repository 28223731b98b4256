"""Runs of a small experiment that are interrupted until they finish, and then compared."""

import errno
import itertools
import json
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kfac_cli.checkpoint.folder import PREFIX, SUFFIX, checkpoint_iterations
from kfac_cli.recording.summary import FINISHED, SUMMARY_FILE

from .children import Outcome, after, run_child
from .compare import differences
from .experiment import OPTIMIZERS, overrides
from .faults import Faults, disk_full, failing, killed

ITERATIONS = 60
CHECKPOINTS = ("checkpoint.every=1", "checkpoint.every=7", "checkpoint.minutes=0.0005")
CALM = 0.1
"""Share of attempts without harm, so that every run finishes."""

DAMAGED = 0.2
"""Share of the resumptions before which the newer of two checkpoints is damaged."""


@dataclass
class Case:
    """A command line, the folder and duration of its uninterrupted run, and its file operations."""

    words: list[str]
    whole: Path
    seconds: float
    events: int


@dataclass
class Tally:
    """Results: how children ended, and everything that differed or failed."""

    endings: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    resumed: int = 0
    damaged: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """The number of children killed by SIGKILL."""
        return self.endings["killed"] + self.endings["killed at an event"]


def _finished(folder: Path) -> bool:
    """Whether a run was killed after writing its summary: it will not be resumed or repaired."""
    try:
        return json.loads((folder / SUMMARY_FILE).read_text())["status"] == FINISHED
    except (OSError, ValueError):
        return False


class Soak:
    """A seeded soak test: the kinds of harm and the operations are reproducible, the times nearly.

    `cases` is the number of different command lines; None for all.
    """

    def __init__(self, root: Path, data: Path, seed: int, cases: int | None = None) -> None:
        self.tally = Tally()
        self._root = root
        self._data = data
        self._random = random.Random(seed)
        self._cases: dict[tuple[str, ...], Case] = {}
        combinations = list(
            itertools.product(OPTIMIZERS, ("float32", "float64"), CHECKPOINTS, ("true", "false"))
        )
        self._random.shuffle(combinations)
        self._next_combination = itertools.cycle(combinations[:cases])

    def run(self) -> None:
        """Interrupt one run until it finishes, and compare it with an uninterrupted one."""
        case = self._case(next(self._next_combination))
        folder = self._fresh()
        self.tally.runs += 1
        while True:
            started = (folder / "run/config.yaml").exists()
            words = ["resume=run"] if started else case.words
            self.tally.resumed += started
            if started and not _finished(folder / "run") and self._random.random() < DAMAGED:
                self._damage_newest(folder / "run")
            name, outcome = self._attempt(case, folder, words)
            self.tally.endings[name] += 1
            if wrong := self._error_of(name, outcome):
                self.tally.wrong.append(f"{folder}: {wrong}")
                return
            if outcome.code == 0:
                break
        self.tally.wrong += [f"{folder}: {d}" for d in differences(folder / "run", case.whole)]

    def _case(self, combination: tuple[str, ...]) -> Case:
        if combination not in self._cases:
            optimizer, dtype, checkpoint, tensorboard = combination
            words = [
                *overrides(self._data, optimizer, ITERATIONS),
                f"dtype={dtype}",
                checkpoint,
                f"tensorboard={tensorboard}",
                "hydra.run.dir=run",
            ]
            folder = self._fresh()
            outcome = run_child(words, folder, Faults(folder / "run"))
            if outcome.code != 0:
                raise RuntimeError(f"the uninterrupted run failed: {outcome}")
            events = int((folder / "events.txt").read_text())
            self._cases[combination] = Case(words, folder / "run", outcome.seconds, events)
        return self._cases[combination]

    def _fresh(self) -> Path:
        folder = self._root / f"{len(list(self._root.iterdir())):04}"
        folder.mkdir()
        return folder

    def _damage_newest(self, folder: Path) -> None:
        """Flip a bit of the newest checkpoint, or cut it short, if there is one before it."""
        iterations = checkpoint_iterations(folder)
        if len(iterations) < 2:
            return
        path = folder / f"{PREFIX}{iterations[0]}{SUFFIX}"
        contents = bytearray(path.read_bytes())
        place = self._random.randrange(len(contents))
        if self._random.random() < 0.5:
            contents[place] ^= 1 << self._random.randrange(8)
        else:
            del contents[place:]
        path.write_bytes(contents)
        self.tally.damaged += 1

    def _attempt(self, case: Case, folder: Path, words: list[str]) -> tuple[str, Outcome]:
        """Run one child, with or without harm; its name is that of the harm or of the outcome."""
        choice = self._random
        moment = choice.triangular(0, case.seconds, 0)  # many children end sooner
        event = choice.randint(1, case.events)
        kinds: dict[str, Callable[[], Outcome]] = {
            "killed": lambda: run_child(words, folder, interrupt=after(moment, signal.SIGKILL)),
            "killed at an event": lambda: run_child(
                words, folder, Faults(folder / "run", event, killed)
            ),
            "terminated": lambda: run_child(words, folder, interrupt=after(moment, signal.SIGTERM)),
            "interrupted": lambda: run_child(words, folder, interrupt=after(moment, signal.SIGINT)),
            "terminated twice": lambda: run_child(
                words, folder, interrupt=after(moment, signal.SIGTERM, signal.SIGTERM, pause=0.002)
            ),
            "disk full": lambda: run_child(words, folder, Faults(folder / "run", event, disk_full)),
            "disk failing": lambda: run_child(
                words, folder, Faults(folder / "run", event, failing(errno.EIO))
            ),
        }
        if choice.random() < CALM:
            return "without harm", run_child(words, folder)
        (name,) = choice.choices(list(kinds), weights=(6, 6, 2, 1, 1, 3, 1))
        outcome = kinds[name]()
        return (name if outcome.code != 0 else f"finished before it was {name}"), outcome

    @staticmethod
    def _error_of(name: str, outcome: Outcome) -> str | None:
        """What is wrong with the end of a child; None if it is as expected."""
        expected = {
            "killed": (-signal.SIGKILL,),
            "killed at an event": (-signal.SIGKILL,),
            "terminated": (143, -signal.SIGTERM),  # the latter before kfac-run handles it
            "interrupted": (130, -signal.SIGINT),
            "terminated twice": (143, -signal.SIGTERM),
            "disk full": (1,),
            "disk failing": (1,),
        }.get(name, (0,))
        if outcome.code not in expected:
            return f"{name}: exit code {outcome.code}: {outcome.err}"
        if "Traceback" in outcome.err:
            return f"{name}: {outcome.err}"
        errors = [x for x in outcome.err.splitlines() if x.startswith("kfac-run: error: ")]
        if outcome.code == 1 and (len(errors) != 1 or "rror" not in errors[0]):
            return f"{name}: {outcome.err}"
        return None
