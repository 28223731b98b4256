"""The formula of section 8 beside what was measured, for one mini-batch size and inverse."""

from dataclasses import dataclass

from kfac_cli.paper.cost.formula import Constants, Shapes, Sizes, kfac_cost, sgd_cost
from kfac_cli.paper.cost.measure import KFACTimes, Measured, SizeTimes


@dataclass(frozen=True)
class Comparison:
    """K-FAC's average iteration, predicted and measured, and that of SGD with the same cases.

    The constants come from elsewhere: C₁ and C₂ from SGD, those of the inverse from K-FAC's first
    iterations, which the average does not include.
    """

    cases: int
    inverse: str
    shapes: Shapes
    sgd: Measured
    kfac: KFACTimes

    @property
    def sizes(self) -> Sizes:
        """The powers of the formula."""
        return Sizes.of(self.shapes, self.cases)

    @property
    def constants(self) -> Constants:
        """C₁, C₂, and C₃ and C₅ or C₄ and C₆, in seconds for each unit of the formula."""
        unit = self.sizes.squares * self.cases
        first = self.kfac.first.tasks
        return Constants(
            self.sgd.tasks[1] / (2 * unit),
            self.sgd.tasks[2] / unit,
            first[5] / self.sizes.cubes_of_factors,
            first[6] / self.sizes.products(self.kfac.settings),
        )

    @property
    def predicted(self) -> dict[int, float]:
        """Seconds of an average iteration by task, by the formula."""
        return kfac_cost(self.sizes, self.cases, self.constants, self.kfac.settings)

    @property
    def measured(self) -> Measured:
        """Seconds of an average iteration."""
        return self.kfac.average

    @property
    def accuracy(self) -> float:
        """The predicted over the measured seconds of an iteration."""
        return sum(self.predicted.values()) / self.measured.whole

    @property
    def overhead(self) -> float:
        """The measured seconds of K-FAC over those of SGD."""
        return self.measured.whole / self.sgd.whole

    @property
    def predicted_overhead(self) -> float:
        """The seconds of K-FAC over those of SGD, both by the formula."""
        return sum(self.predicted.values()) / sgd_cost(self.sizes, self.cases, self.constants)


def comparisons(times: SizeTimes) -> list[Comparison]:
    """Those of each inverse."""
    return [
        Comparison(times.cases, inverse, times.shapes, times.sgd, kfac)
        for inverse, kfac in times.kfac.items()
    ]
