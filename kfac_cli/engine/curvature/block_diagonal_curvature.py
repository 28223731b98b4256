"""F̆ over the iterations, and the kinds of its inverse (sections 4.2, 6.3 and 8)."""

from collections.abc import Callable, Sequence

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, share_of_inverses
from kfac_cli.engine.curvature.factored import FactoredCurvature, SavedInverse
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.curvature.separate_decay import SeparateDecayInverse
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.processes import Processes


class BlockDiagonal(FactoredCurvature):
    """F̆, with factored or, on request, exact Tikhonov damping."""

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        super().__init__(options, fallbacks)
        self._separate = options.l2_product == "refreshed"
        # Section 8's shortcut: not for ηW, of full rank, nor for blocks that are no product.
        low_rank = options.l2 == 0 or self._separate
        self.needs = Needs(case_factors=low_rank and options.tikhonov != "exact")

    def _begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        """Each part is the inverse of a damped factor."""
        options = self.options
        share = share_of_inverses(self.known_factors, options.pi, gammas, processes)

        def finished(fallbacks: Fallbacks) -> list[Inverse]:
            inverses = [BlockDiagonalInverse.of(parts) for parts in share.exchanged(fallbacks)]
            if not self._separate:
                return [*inverses]
            return [SeparateDecayInverse(inverse, options.l2) for inverse in inverses]

        return finished

    @property
    def kinds(self) -> Sequence[type[SavedInverse]]:
        return (SeparateDecayInverse if self._separate else BlockDiagonalInverse,)
