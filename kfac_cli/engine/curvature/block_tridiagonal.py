"""F̂⁻¹, the block-tridiagonal approximate inverse Fisher (section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, inverted
from kfac_cli.engine.curvature.coupling import Whitened, coupling_cost, whitened
from kfac_cli.engine.curvature.factored import FactoredCurvature, SavedInverse
from kfac_cli.engine.curvature.factorization import Factorization
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.curvature.sigma import COUPLINGS, SIGMA_SOLVERS, AnyCoupling, SigmaSolver
from kfac_cli.engine.curvature.spread import Share
from kfac_cli.engine.curvature.tikhonov import UndampedFactors
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, items, record, variant, word
from kfac_cli.errors import choose

Part = Tensor | AnyCoupling
"""The inverse of a damped factor, or a coupling."""


class BlockTridiagonalInverse(Inverse):
    """F̂⁻¹ = Ξᵀ Λ Ξ with factored Tikhonov damping of strength γ.

    F̂ agrees with F̃, its diagonal factors damped, on the tridiagonal blocks; its inverse is block
    tridiagonal. `factors` must include the blocks of neighbouring layers. Kept as F̆⁻¹, `diagonal`,
    plus a coupling of each layer with the next, `couplings`; see `coupling.py`.

    `pi` is the name of one of `PI_RULES`, `sigma_solver` of one of `SIGMA_SOLVERS`; any other
    raises ValueError.
    """

    def __init__(
        self,
        factors: KroneckerFactors,
        gamma: float,
        *,
        pi: str = "trace",
        sigma_solver: str = "auto",
        fallbacks: Fallbacks | None = None,
    ) -> None:
        solve = choose("sigma_solver", sigma_solver, SIGMA_SOLVERS)
        parts = _Parts(UndampedFactors(factors, pi), solve)
        self._set(parts.made(gamma, range(len(parts.costs)), fallbacks))

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "BlockTridiagonalInverse":
        """From all of its parts: the inverses of the factors, and the couplings."""
        inverse = cls.__new__(cls)
        inverse._set(parts)
        return inverse

    def _set(self, parts: Sequence[Part]) -> None:
        self.diagonal = BlockDiagonalInverse.of([p for p in parts if isinstance(p, Tensor)])
        self.couplings = [part for part in parts if not isinstance(part, Tensor)]

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """F̂⁻¹v for `vectors` shaped like the parameters."""
        result = self.diagonal.multiply(vectors, products)
        for coupling, here, above in zip(
            self.couplings, pairwise(vectors), pairwise(result), strict=True
        ):
            coupling.add_product_(*here, *above, products)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return {
            **attributes(self),
            "diagonal": self.diagonal.state_dict(),
            "couplings": [attributes(each) for each in self.couplings],
        }

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        return record(
            {
                "type": word(cls.__name__),
                "diagonal": BlockDiagonalInverse.state_rules(parameters),
                "couplings": items([_coupling_rules(*pair) for pair in pairwise(parameters)]),
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "BlockTridiagonalInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        inverse = restore(state, cls)
        inverse.diagonal = BlockDiagonalInverse.from_state_dict(state["diagonal"])
        inverse.couplings = [restore(each, *COUPLINGS) for each in state["couplings"]]
        return inverse


def _coupling_rules(weights: Tensor, above: Tensor) -> Rule:
    """What the attributes of a coupling may be: doubling may have fallen back to decompositions."""
    return variant({each.__name__: each.state_rules(weights, above) for each in COUPLINGS})


class _Parts:
    """The inverses of the damped factors, and the couplings of neighbouring layers.

    They are counted in this order, as `UndampedFactors.factorized` counts the factors. Each is made
    from the factors alone: where a coupling is made apart, its four factorisations are made again,
    which is a small part of its cost. `costs` are in units of an inverse of one row.
    """

    def __init__(self, shared: UndampedFactors, solve: SigmaSolver) -> None:
        self._shared, self._solve = shared, solve
        self._factors = len(shared.sizes)
        beside = zip(shared.activation_next, shared.gradient_next, strict=True)
        couplings = [sum(coupling_cost(*matrix.shape) for matrix in pair) for pair in beside]
        self.costs = [float(size**3) for size in shared.sizes] + couplings

    def made(
        self, gamma: float, numbers: Sequence[int], fallbacks: Fallbacks | None = None
    ) -> list[Part]:
        """Some of the parts for γ."""
        shared = self._shared
        own = [number for number in numbers if number < self._factors]
        layers = [number - self._factors for number in numbers if number >= self._factors]
        known = dict(zip(own, shared.factorized(gamma, own, fallbacks), strict=True))
        ends = [layer + side for layer in layers for side in (0, 1)]
        both = [first + end for first in (0, self._factors // 2) for end in ends]
        others = [number for number in dict.fromkeys(both) if number not in known]
        counted_elsewhere = Fallbacks(clipped_factors=1)
        again = shared.factorized(gamma, others, counted_elsewhere)
        known |= dict(zip(others, again, strict=True))
        pairs = zip(
            self._whitened(shared.activation_next, layers, known, 0),
            self._whitened(shared.gradient_next, layers, known, self._factors // 2),
            strict=True,
        )
        couplings = self._solve(list(pairs), shared.dtype, fallbacks)
        return [*inverted([known[number] for number in own], shared.dtype), *couplings]

    @staticmethod
    def _whitened(
        between: Sequence[Tensor],
        layers: Sequence[int],
        known: Mapping[int, Factorization],
        first: int,
    ) -> list[Whitened]:
        return whitened(
            [between[layer] for layer in layers],
            [(known[first + layer], known[first + layer + 1]) for layer in layers],
        )


class BlockTridiagonal(FactoredCurvature):
    """F̂, with factored Tikhonov damping; on request the start is that of F̆ with exact damping."""

    needs = Needs(neighbours=True)

    def _begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        shared = UndampedFactors(self.known_factors, self.options.pi)
        parts = _Parts(shared, SIGMA_SOLVERS[self.options.sigma_solver])
        share = Share(parts.made, gammas, parts.costs, processes, shared.device)
        return lambda fallbacks: [
            BlockTridiagonalInverse.of(each) for each in share.exchanged(fallbacks)
        ]

    @property
    def kinds(self) -> Sequence[type[SavedInverse]]:
        return (BlockTridiagonalInverse,)
