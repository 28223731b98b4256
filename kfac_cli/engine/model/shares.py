"""Which cases of a mini-batch a process computes, and in which chunks."""

from itertools import pairwise

from kfac_cli.engine.processes import Processes


def own_cases(
    processes: Processes, cases: int, statistics: int = 0, rest: int | None = None
) -> list[slice]:
    """This process's share of S₁, of the cases up to `rest`, and of S₂, which begins there.

    S₁ are the first `statistics` cases. Its part that lies in S₂ is shared as a part of S₂; the
    rest is there even if it is empty, to give the sums of the statistics their shapes.
    """
    rest = cases if rest is None else max(rest, 0)
    limits = [0, min(statistics, rest), rest, cases]
    if processes.count == 1:
        limits = [0, cases]
    pairs = [(a, b) for a, b in pairwise(limits) if a < b]
    if statistics and processes.count > 1 and limits[1] == 0:
        pairs.insert(0, (0, 0))
    return [processes.share(slice(*pair)) for pair in pairs]


def cut(part: slice, size: int, processes: Processes) -> list[slice]:
    """The part in chunks, which a single process begins at multiples of their size."""
    start = part.start
    firsts = range(start - start % size if processes.count == 1 else start, part.stop, size)
    chunks = [slice(max(k, start), min(k + size, part.stop)) for k in firsts]
    return chunks or [part]  # sums over no case have their shapes from it
