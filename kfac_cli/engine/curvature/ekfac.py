"""EKFAC: K-FAC's eigenvectors, and along each the second moment of the cases' gradients.

George et al. (2018), "Fast Approximate Natural Gradient Descent in a Kronecker-factored
Eigenbasis", arXiv:1806.03884. A layer's block of F is (U_A⊗U_G) diag(D) (U_A⊗U_G)ᵀ with the
eigenvectors of Ā and G. K-FAC's D is the product of their eigenvalues, E[(u_Aᵀā)²] E[(u_Gᵀg)²];
EKFAC's is E[(u_Aᵀā)² (u_Gᵀg)²], the D that is nearest to the block (section 3).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, share_of_inverses
from kfac_cli.engine.curvature.eigen_statistics import Bases, ScaledFactors
from kfac_cli.engine.curvature.eigenbasis import Eigenbasis
from kfac_cli.engine.curvature.exact_tikhonov import factor_eigenbases, share_of_eigenbases
from kfac_cli.engine.curvature.factored import FactoredCurvature, SavedInverse
from kfac_cli.engine.curvature.factors import KroneckerFactors, running_average_weight
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import (
    clipped_reciprocals,
    clipping_limit,
    weighted,
)
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import (
    Rule,
    absent,
    entries,
    items,
    record,
    tensor,
    word,
)
from kfac_cli.engine.transfer import fetch


class EKFACInverse(Inverse):
    """diag((U_A⊗U_G) diag(D + γ²) (U_A⊗U_G)ᵀ)⁻¹, where γ² takes the role of λ + η (section 6.3).

    D + γ² is clipped from below at (dim Ā + dim G)·eps times its largest entry, with float64's eps.
    """

    def __init__(self, bases: Bases, scalings: list[Tensor], gamma: float) -> None:
        self.activation_vectors = bases.activation
        self.gradient_vectors = bases.gradient
        self.weights = [_reciprocals(each, gamma) for each in scalings]

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """The product with `vectors`, shaped like the parameters."""
        layers = zip(
            self.weights, self.activation_vectors, self.gradient_vectors, vectors, strict=True
        )
        return [weighted(*layer, products) for layer in layers]

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return attributes(self)

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        return record(
            {
                "type": word(cls.__name__),
                **_basis_rules(parameters),
                "weights": _scaling_rules(parameters),
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "EKFACInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        return restore(state, cls)


class EKFAC(FactoredCurvature):
    """The running averages of Ā, G and, in the eigenvectors of the last refresh, of D.

    In new bases D starts as K-FAC's, which knows all the cases that Ā and G remember, and is then
    averaged with their weights ε; between refreshes `latest` follows it, which needs no
    decomposition. (The other way, to turn the old D into the new bases, was measured once: it left
    an error 1.2 to 2.1 times as large at iteration 100 of CURVES, three seeds.)

    The first iterations take K-FAC's own inverse, with the damping that the options ask for. Their
    Ā and G are of so few cases that most of their eigenvalues are 0; a γ² on the diagonal that is
    large enough for those is far too large for the rest of the run. The last of these iterations
    makes the first bases.
    """

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        super().__init__(options, fallbacks)
        self.needs = Needs()
        self.scalings: list[Tensor] = []
        self._decomposed: KroneckerFactors | None = None

    def update(self, statistics: KroneckerFactors | None, iteration: int) -> None:
        assert statistics is not None
        super().update(KroneckerFactors(statistics.activation, statistics.gradient), iteration)
        if isinstance(statistics, ScaledFactors):
            new = 1 - running_average_weight(iteration, self.options.epsilon_max)
            pairs = zip(self.scalings, statistics.scalings, strict=True)
            self.scalings = [torch.lerp(mine, theirs, new) for mine, theirs in pairs]

    def _begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        factors = self.known_factors
        first = self.iteration <= FIRST_ITERATIONS
        turns = self._turns
        early = share_of_inverses(factors, self.options.pi, gammas, processes) if first else None
        bases = share_of_eigenbases(factors, processes) if turns else None

        def finished(fallbacks: Fallbacks) -> list[Inverse]:
            if bases is not None:
                [parts] = bases.exchanged(fallbacks)
                self._turn_bases(factors, factor_eigenbases(parts))
            if early is not None:
                return [BlockDiagonalInverse.of(parts) for parts in early.exchanged(fallbacks)]
            self._count_clipped(gammas, fallbacks)
            return [self._inverse(gamma) for gamma in gammas]

        return finished

    @property
    def _turns(self) -> bool:
        """Whether new inverses have new bases: the first ones, and those of later refreshes."""
        if self.needs.bases is None:
            return self.iteration >= FIRST_ITERATIONS
        later = self.iteration > self.options.first_iterations
        return later and self._decomposed is not self.factors

    def latest(self, inverse: Inverse, gamma: float) -> Inverse:
        return inverse if self.needs.bases is None else self._inverse(gamma)

    def _inverse(self, gamma: float) -> EKFACInverse:
        assert self.needs.bases is not None
        return EKFACInverse(self.needs.bases, self.scalings, gamma)

    def _turn_bases(
        self, factors: KroneckerFactors, pairs: Sequence[tuple[Eigenbasis, Eigenbasis]]
    ) -> None:
        """Take the eigenvectors of these Ā and G."""
        dtype = factors.activation[0].dtype
        new = Bases([a.vectors for a, _ in pairs], [g.vectors for _, g in pairs])
        self.scalings = [torch.outer(g.values, a.values).to(dtype) for a, g in pairs]
        self.needs = Needs(bases=new)
        self._decomposed = factors

    def _count_clipped(self, gammas: Sequence[float], fallbacks: Fallbacks) -> None:
        """Count the layers whose D + γ² is clipped, with one transfer from the device."""
        extremes = fetch(*(torch.stack(each.aminmax()) for each in self.scalings))
        for gamma in gammas:
            for (smallest, largest), each in zip(extremes, self.scalings, strict=True):
                limit = clipping_limit(largest + gamma**2, each.shape)
                if smallest + gamma**2 < limit:
                    fallbacks.record(
                        "clipped_sums",
                        "D + gamma^2 is singular: its smallest entry %.3g is clipped at %.3g",
                        float(smallest) + gamma**2,
                        float(limit),
                    )

    def state_dict(self) -> dict[str, Any]:
        eigenbasis = None
        if (bases := self.needs.bases) is not None:
            eigenbasis = {
                "activation_vectors": list(bases.activation),
                "gradient_vectors": list(bases.gradient),
                "scalings": list(self.scalings),
            }
        return {
            **super().state_dict(),
            "eigenbasis": eigenbasis,
        }

    def state_rules(self, parameters: Parameters) -> Rule:
        eigenbasis = record({**_basis_rules(parameters), "scalings": _scaling_rules(parameters)})
        return record(
            self._rules(parameters),
            lambda state: {
                "eigenbasis": eigenbasis if state["iteration"] >= FIRST_ITERATIONS else absent
            },
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.needs, self.scalings, self._decomposed = Needs(), [], None
        if (saved := state["eigenbasis"]) is not None:
            bases = Bases(list(saved["activation_vectors"]), list(saved["gradient_vectors"]))
            self.needs, self.scalings = Needs(bases=bases), list(saved["scalings"])

    @property
    def kinds(self) -> Sequence[type[SavedInverse]]:
        return EKFACInverse, BlockDiagonalInverse


def _reciprocals(scalings: Tensor, gamma: float) -> Tensor:
    """1 / (D + γ²)."""
    damped = scalings + gamma**2
    limit = clipping_limit(damped.max().to(torch.float64), damped.shape)
    limit = limit.to(damped.dtype).clamp_min(torch.finfo(damped.dtype).tiny)
    return clipped_reciprocals(damped, limit, scalings.dtype)


def _basis_rules(parameters: Parameters) -> dict[str, Rule]:
    """What saved eigenvectors may be, by their names."""
    return {
        "activation_vectors": items([tensor((w.shape[1],) * 2, w.dtype) for w in parameters]),
        "gradient_vectors": items([tensor((w.shape[0],) * 2, w.dtype) for w in parameters]),
    }


def _scaling_rules(parameters: Parameters) -> Rule:
    """What saved matrices of the form of D may be."""
    return items([tensor(w.shape, w.dtype, nonnegative=entries) for w in parameters])
