"""F̆ over the iterations, and the kinds of its inverse (sections 4.2, 6.3 and 8)."""

from collections.abc import Callable, Sequence
from typing import Any

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, share_of_inverses
from kfac_cli.engine.curvature.exact_tikhonov import (
    ExactTikhonovInverse,
    factor_eigenbases,
    share_of_eigenbases,
)
from kfac_cli.engine.curvature.factored import FactoredCurvature
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.curvature.separate_decay import SeparateDecayInverse
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.state_rules import Rule


class BlockDiagonal(FactoredCurvature):
    """F̆, with factored or, on request, exact Tikhonov damping."""

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        super().__init__(options, fallbacks)
        self._exact = options.tikhonov == "exact"
        self._separate = options.l2_product == "refreshed"
        # Section 8's shortcut: not for ηW, of full rank, nor for blocks that are no product.
        low_rank = options.l2 == 0 or self._separate
        self.needs = Needs(case_factors=low_rank and not self._exact)

    def begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        begin = self._exact_begun if self._exact else self._factored_begun
        return begin(gammas, processes)

    def _factored_begun(
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

    def _exact_begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        """Each part is the eigenbasis of a factor, whatever γ is."""
        factors = self.known_factors
        share = share_of_eigenbases(factors, processes)

        def finished(fallbacks: Fallbacks) -> list[Inverse]:
            [parts] = share.exchanged(fallbacks)
            bases = factor_eigenbases(parts)
            return [
                ExactTikhonovInverse(factors, g, fallbacks=fallbacks, bases=bases) for g in gammas
            ]

        return finished

    def inverse_rules(self, parameters: Parameters) -> Rule:
        return self._inverse.state_rules(parameters)

    def restore(self, state: dict[str, Any]) -> Inverse:
        return self._inverse.from_state_dict(state)

    @property
    def _inverse(self) -> type[ExactTikhonovInverse | SeparateDecayInverse | BlockDiagonalInverse]:
        if self._exact:
            return ExactTikhonovInverse
        return SeparateDecayInverse if self._separate else BlockDiagonalInverse
