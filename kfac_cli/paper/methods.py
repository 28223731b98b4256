"""The methods of the paper's second experiment (section 13), and the settings that make each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kfac_cli.config.choices import choices
from kfac_cli.paper.study import Scale

PROBLEMS = ("curves", "mnist", "faces")
"""In the order of figures 10 and 11."""

BASELINE_SIZE = {"curves": 250, "mnist": 500, "faces": 500}
"""Cases of the baseline's mini-batches (section 13), and of methods without values of their own."""

FEWER_CASES = 100
"""With which first-order methods do more per second on one processor core (docs/tuned.md)."""

AVERAGED = "polyak.start=0"
"""All runs are averaged from their beginning (section 13)."""

EVALUATIONS = {Scale.FULL: 50, Scale.SMALL: 25}
"""Of a run."""

FINAL_SHARE = 20
"""One in so many iterations of the baseline is among the last, with a momentum of 0.9."""


@dataclass(frozen=True)
class Method:
    """A method: its name, the optimizer in conf/, settings, and the number of its iterations.

    Where conf/experiment has PROBLEM_TUNED, whose values and mini-batches suit the problem, that is
    used. Otherwise the mini-batches grow as in section 13, or have the size of the baseline's.
    """

    name: str
    optimizer: str
    tuned: str
    settings: tuple[str, ...]
    grows: bool
    full: int
    small: int

    def words(self, problem: str, scale: Scale) -> tuple[str, ...]:
        """Its settings of `kfac-run` on a problem."""
        iterations = self.full if scale is Scale.FULL else self.small
        return (
            *self._chosen(problem),
            *(() if scale is Scale.FULL else small_problem(problem)),
            f"iterations={iterations}",
            f"evaluate_every={self._every(scale)}",
            *self._final_iterations(iterations),
            *self.settings,
        )

    def without_end(self, scale: Scale, times: int) -> tuple[str, ...]:
        """What changes for a run that its time ends.

        The baseline, which does not know when its last iterations begin, has none with another
        momentum; methods on mini-batches that do not grow evaluate so many `times` as often.
        """
        words = self._final_iterations(0)
        if not self.grows:
            words = (*words, f"evaluate_every={max(1, self._every(scale) // times)}")
        return words

    def _every(self, scale: Scale) -> int:
        iterations = self.full if scale is Scale.FULL else self.small
        return max(1, iterations // EVALUATIONS[scale])

    def _chosen(self, problem: str) -> tuple[str, ...]:
        experiment = f"{problem}_{self.tuned}"
        if experiment in choices("experiment"):
            return (f"experiment={experiment}", "preset=default")
        fixed = ("schedule=fixed", f"schedule.size={BASELINE_SIZE[problem]}")
        schedule = ("schedule=exponential",) if self.grows else fixed
        return (f"dataset={problem}", f"optimizer={self.optimizer}", *schedule)

    def _final_iterations(self, iterations: int) -> tuple[str, ...]:
        """For the baseline, 1,000 of the 20,000 at full scale and as large a share of others."""
        if self.optimizer != "nesterov_sgd":
            return ()
        return (f"optimizer.final_iterations={iterations // FINAL_SHARE}",)


def kfac(name: str, optimizer: str, *settings: str) -> Method:
    """K-FAC with momentum on growing mini-batches, the whole training set at iteration 500."""
    return Method(name, optimizer, optimizer, settings, grows=True, full=500, small=300)


def kfac_without_momentum(name: str, optimizer: str, *settings: str) -> Method:
    """K-FAC without momentum on mini-batches that suit it, of the same size for both inverses."""
    own = () if optimizer == "kfac_tridiag" else (f"optimizer={optimizer}",)
    settings = (*own, "optimizer.momentum=false", *settings)
    return Method(
        name, optimizer, "kfac_tridiag_no_momentum", settings, grows=False, full=5000, small=500
    )


def first_order(name: str, optimizer: str, *settings: str) -> Method:
    """The baseline, or another method whose iterations are cheap."""
    return Method(name, optimizer, optimizer, settings, grows=False, full=20000, small=3000)


def first_order_on_fewer(name: str, optimizer: str) -> Method:
    """A first-order method on mini-batches of `FEWER_CASES`, on CURVES for as many cases."""
    tuned = f"{optimizer}_{FEWER_CASES}"
    return Method(name, optimizer, tuned, (), grows=False, full=50000, small=7500)


def named(methods: Iterable[Method], names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names."""
    return tuple(method for method in methods if method.name in names)


PAPERS_T3 = "optimizer.t3=20"
"""For kfac_diag, whose default is another one: methods that are compared differ in one option."""

SMALL_LAYERS = {
    "curves": (784, 200, 100, 50, 25, 6),
    "mnist": (784, 200, 100, 50, 30),
    "faces": (625, 200, 100, 50, 30),
}
"""Widths of the encoders at the small scale; the decoders mirror them."""

SMALL_CASES, SMALL_TEST_CASES = 5000, 500


def small_problem(problem: str) -> tuple[str, ...]:
    """What makes a problem small: as many layers, but narrower, and fewer cases."""
    encoder = SMALL_LAYERS[problem]
    layers = [*encoder, *reversed(encoder[:-1])]
    logistic = ["logistic"] * (len(encoder) - 2)
    return (
        f"dataset.layer_sizes=[{','.join(map(str, layers))}]",
        f"dataset.activations=[{','.join([*logistic, 'linear', *logistic])}]",
        f"dataset.train_cases={SMALL_CASES}",
        f"dataset.test_cases={SMALL_TEST_CASES}",
    )
