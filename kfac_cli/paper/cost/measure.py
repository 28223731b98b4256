"""Seconds of average iterations of SGD and of K-FAC with both inverses, task by task."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.errors import UserError
from kfac_cli.paper.cost.clock import seconds, wait_for
from kfac_cli.paper.cost.formula import Settings
from kfac_cli.paper.cost.methods import BASELINE, INVERSES
from kfac_cli.paper.cost.tasks import TASKS, task_times
from kfac_cli.run.session import Session

LONGEST = 1000
"""Iterations that are measured at most."""

SessionMaker = Callable[[str, int], Session]
"""Takes an optimizer of `kfac-run` and a mini-batch size; returns a new session."""


@dataclass(frozen=True)
class Measured:
    """Seconds of an average iteration, the whole and by task, and how many took no step."""

    whole: float
    tasks: dict[int, float]
    rejections: int = 0

    @property
    def rest(self) -> float:
        """The seconds that belong to no task of section 8."""
        return self.whole - sum(self.tasks.values())


@dataclass(frozen=True)
class KFACTimes:
    """What K-FAC with one inverse took.

    `first` is an average of its first iterations but one, each of which makes one inverse,
    `average` one of those of whole periods of T₁, T₂ and T₃.
    """

    settings: Settings
    first: Measured
    average: Measured


@dataclass(frozen=True)
class SizeTimes:
    """What iterations with mini-batches of so many cases took, K-FAC's by inverse.

    `shapes` are those of the network's weight matrices. `environment` is where it was measured,
    None where that was not recorded.
    """

    cases: int
    shapes: tuple[tuple[int, int], ...]
    sgd: Measured
    kfac: dict[str, KFACTimes]
    environment: dict[str, str | int | None] | None = None


def measure(make: SessionMaker, cases: int) -> SizeTimes:
    """Measure one mini-batch size; raises UserError if a period has too many iterations.

    All optimizers do their iterations in turn, so that other load affects all of them alike.
    """
    kfac = {name: make(kind, cases) for name, kind in INVERSES.items()}
    settings = {name: Settings.of(_options(made)) for name, made in kfac.items()}
    steps = max(period(each) for each in settings.values())
    sessions = {BASELINE: make(BASELINE, cases), **kfac}
    measure_together(sessions, 1)
    first = measure_together(sessions, FIRST_ITERATIONS - 1)
    average = measure_together(sessions, steps)
    return SizeTimes(
        cases,
        tuple(sessions[BASELINE].network.parameter_shapes),
        average[BASELINE],
        {name: KFACTimes(settings[name], first[name], average[name]) for name in kfac},
    )


def period(settings: Settings) -> int:
    """The iterations after which everything has been done as often as on average.

    Raises UserError if they are too many to measure.
    """
    periods = {"t1": settings.t1, "t2": settings.t2, "t3": settings.t3}
    known = {name: length for name, length in periods.items() if length is not None}
    steps = math.lcm(*known.values())
    if steps > LONGEST:
        given = " ".join(f"optimizer.{name}={length}" for name, length in known.items())
        raise UserError(
            f"{given}: their average iteration is one of {steps:,}, and at most {LONGEST:,} are "
            "measured; choose numbers with a smaller common multiple"
        )
    return steps


def measure_together(sessions: dict[str, Session], steps: int) -> dict[str, Measured]:
    """An average of the next so many iterations of each session, which take turns."""
    whole = dict.fromkeys(sessions, 0.0)
    tasks = {name: dict.fromkeys(TASKS, 0.0) for name in sessions}
    before = {name: made.rejections for name, made in sessions.items()}
    for _ in range(steps):
        for name, made in sessions.items():
            spent, by_task = _timed_step(made)
            whole[name] += spent / steps
            for task, value in by_task.items():
                tasks[name][task] += value / steps
    return {
        name: Measured(whole[name], tasks[name], made.rejections - before[name])
        for name, made in sessions.items()
    }


def _timed_step(made: Session) -> tuple[float, dict[int, float]]:
    device = made.device

    def wait() -> None:
        wait_for(device)

    with task_times(wait) as spent:
        whole = seconds(made.step, wait)
    return whole, spent.seconds


def _options(made: Session) -> KFACOptions:
    options = made.optimizer.options  # type: ignore[attr-defined]
    assert isinstance(options, KFACOptions)
    return options
