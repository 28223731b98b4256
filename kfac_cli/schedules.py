"""Mini-batch size schedules: m_k at iteration k = 1, 2, … (section 13)."""

import math
from collections.abc import Callable

from kfac_cli.config import ExponentialScheduleConfig, ScheduleConfig

Schedule = Callable[[int], int]


def make_schedule(config: ScheduleConfig, cases: int) -> Schedule:
    """The schedule that `config` describes, for a training set S of so many cases.

    A mini-batch is never larger than |S|, whatever the setting.
    """
    if isinstance(config, ExponentialScheduleConfig):
        return exponential(config.initial, config.full_at, cases)
    return fixed(config.size, cases)


def exponential(initial: int, full_at: int, cases: int) -> Schedule:
    """m_k = min(⌊m_1 exp((k-1)/b)⌋, |S|) with b such that m_{full_at} = |S|.

    Rounding down gives the batch sizes of the published reference runs, every one of them.
    """
    growth = math.log(max(cases / initial, 1)) / (full_at - 1)

    def size(iteration: int) -> int:
        if iteration >= full_at:
            return cases
        return min(math.floor(initial * math.exp(growth * (iteration - 1))), cases)

    return size


def fixed(size: int, cases: int) -> Schedule:
    """m_k = min(size, |S|)."""
    return lambda iteration: min(size, cases)
