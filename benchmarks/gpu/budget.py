"""What `make bench-gpu` may take: sizes, and the seconds that are left."""

from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True)
class Scale:
    """Sizes of mini-batches, rounds of a comparison, and limits in seconds."""

    sizes: tuple[int, ...]
    rounds: int
    whole: float
    one_run: float

    @classmethod
    def of(cls, small: bool) -> "Scale":
        """For a GPU or, small, for a test on a CPU."""
        if small:
            return cls((40, 80), 5, 60.0, 1.0)
        return cls((1000, 5000, 60_000), 23, 450.0, 60.0)


class Budget:
    """The seconds that are left of a limit."""

    def __init__(self, seconds: float) -> None:
        self._end = perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds, negative once the limit has passed."""
        return self._end - perf_counter()

    def limit(self, seconds: float) -> float:
        """The limit of what should take at most so many seconds: what is left, or a second."""
        return max(min(seconds, self.left), 1.0)
