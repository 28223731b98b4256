"""F̆⁻¹ with exact Tikhonov damping (section 6.3, eqn 6)."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from kfac_cli.engine.curvature.eigenbasis import Eigenbasis, eigenbases
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import DiagonalizedInverse
from kfac_cli.engine.curvature.protocol import Inverse
from kfac_cli.engine.curvature.spread import Share
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, items, record, word


class ExactTikhonovInverse(Inverse):
    """diag(Ā_{i-1,i-1} ⊗ G_{i,i} + γ² I)⁻¹, where γ² takes the role of λ + η.

    Compared with `BlockDiagonalInverse`, it has no cross terms from factored damping, but takes
    eigendecompositions and twice as many products. A block's inverse is not a Kronecker product,
    so section 8's shortcut does not apply. `bases` are the `factor_eigenbases`, the same for every
    γ, if there are any already.
    """

    def __init__(
        self,
        factors: KroneckerFactors,
        gamma: float,
        *,
        fallbacks: Fallbacks | None = None,
        bases: list[tuple[Eigenbasis, Eigenbasis]] | None = None,
    ) -> None:
        dtype = factors.activation[0].dtype
        self.layers = [
            DiagonalizedInverse(gamma**2, a, g, dtype, fallbacks)
            for a, g in bases or factor_eigenbases(eigenbases(factor_matrices(factors)))
        ]

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """The product with `vectors`, shaped like the parameters."""
        return [layer.multiply(v, products) for layer, v in zip(self.layers, vectors, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return {**attributes(self), "layers": [attributes(layer) for layer in self.layers]}

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        layers = [DiagonalizedInverse.state_rules(w) for w in parameters]
        return record({"type": word(cls.__name__), "layers": items(layers)})

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "ExactTikhonovInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        inverse = restore(state, cls)
        inverse.layers = [restore(layer, DiagonalizedInverse) for layer in state["layers"]]
        return inverse


def factor_matrices(factors: KroneckerFactors) -> list[Tensor]:
    """The Ā_{i-1,i-1} of all layers and then their G_{i,i}."""
    return [*factors.activation, *factors.gradient]


def share_of_eigenbases(
    factors: KroneckerFactors, processes: Processes, *, few_cases: bool = False
) -> Share[Eigenbasis]:
    """The eigendecompositions of `factor_matrices`, each by one process; the same for every γ.

    Eigenvectors are in the dtype of the factors. `few_cases` as for `eigenbases`.
    """
    matrices = factor_matrices(factors)

    def make(_: float, numbers: Sequence[int], __: Fallbacks) -> list[Eigenbasis]:
        bases = eigenbases([matrices[number] for number in numbers], few_cases=few_cases)
        return [Eigenbasis(b.values, b.vectors.to(matrices[0].dtype)) for b in bases]

    costs = [len(matrix) ** 3 for matrix in matrices]
    return Share(make, [0.0], costs, processes, matrices[0].device)


def begun_exactly(
    factors: KroneckerFactors,
    gammas: Sequence[float],
    processes: Processes,
    *,
    few_cases: bool = False,
) -> Callable[[Fallbacks], list[Inverse]]:
    """The inverse for each γ as `Curvature.begun` makes them, which share the eigenbases."""
    share = share_of_eigenbases(factors, processes, few_cases=few_cases)

    def finished(fallbacks: Fallbacks) -> list[Inverse]:
        [parts] = share.exchanged(fallbacks)
        bases = factor_eigenbases(parts)
        return [ExactTikhonovInverse(factors, g, fallbacks=fallbacks, bases=bases) for g in gammas]

    return finished


def factor_eigenbases(bases: Sequence[Eigenbasis]) -> list[tuple[Eigenbasis, Eigenbasis]]:
    """Those of Ā and G for every layer, from those of `factor_matrices`."""
    layers = len(bases) // 2
    return list(zip(bases[:layers], bases[layers:], strict=True))
