"""The statistics Ā and G behind both approximate Fishers (section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import pairwise

import torch
from torch import Tensor

from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.state_rules import Rule, items, record, square, tensor


@dataclass(frozen=True)
class KroneckerFactors:
    """Ā_{i,j} = E[ā_i ā_jᵀ] and G_{i,j} = E[g_i g_jᵀ] on the (block-)tridiagonal.

    `activation[i]` is Ā_{i,i}, (d_i+1, d_i+1), i = 0…ℓ-1; `gradient[i]` is G_{i+1,i+1},
    (d_{i+1}, d_{i+1}), i = 0…ℓ-1. `activation_next[i]` is Ā_{i,i+1} and `gradient_next[i]` is
    G_{i+1,i+2}, i = 0…ℓ-2; both lists are empty if only the diagonal blocks are needed.
    """

    activation: list[Tensor]
    gradient: list[Tensor]
    activation_next: list[Tensor] = field(default_factory=list)
    gradient_next: list[Tensor] = field(default_factory=list)

    def tensors(self) -> Iterator[Tensor]:
        """Every matrix, in a fixed order."""
        yield from self.activation
        yield from self.gradient
        yield from self.activation_next
        yield from self.gradient_next

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The matrices, by the names of their lists."""
        return {name: list(matrices) for name, matrices in vars(self).items()}

    @staticmethod
    def state_rules(parameters: Parameters, neighbours: bool) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        rules = *block_rules(parameters), *neighbour_rules(parameters if neighbours else [])
        names = (each.name for each in fields(KroneckerFactors))
        return record(dict(zip(names, rules, strict=True)))

    @classmethod
    def from_state_dict(cls, state: dict[str, list[Tensor]]) -> "KroneckerFactors":
        """The factors that `state_dict` described."""
        return cls(**{name: list(matrices) for name, matrices in state.items()})

    def add_(self, other: "KroneckerFactors") -> None:
        """Add other statistics, in place."""
        torch._foreach_add_(list(self.tensors()), list(other.tensors()))

    def add_gradients_(self, gradients: list[Tensor], products: Products = BLAS) -> None:
        """Add Σ g_i g_jᵀ of one more backward pass over the same cases, in place."""
        for total, g in zip(self.gradient, gradients, strict=True):
            products.add(g.T, g, out=total)
        for total, (g, above) in zip(self.gradient_next, pairwise(gradients), strict=False):
            products.add(g.T, above, out=total)

    def scale_gradients_(self, scale: float) -> None:
        """Multiply the gradients' matrices by a number, in place."""
        torch._foreach_mul_([*self.gradient, *self.gradient_next], scale)

    def scale_(self, scale: float) -> None:
        """Multiply by a number, in place."""
        torch._foreach_mul_(list(self.tensors()), scale)

    def averaged(self, new: "KroneckerFactors", epsilon: float) -> "KroneckerFactors":
        """Running average: ε times this estimate plus (1 - ε) times the new one.

        It takes the memory of `new`; this estimate stays as it is.
        """
        for mine, theirs in zip(self.tensors(), new.tensors(), strict=True):
            torch.lerp(mine, theirs, 1 - epsilon, out=theirs)
        return new


def block_rules(parameters: Parameters) -> tuple[Rule, Rule]:
    """What saved matrices of the form of Ā_{i,i} and of G_{i,i} may be."""
    return (
        items([square(w.shape[1], w.dtype) for w in parameters]),
        items([square(w.shape[0], w.dtype) for w in parameters]),
    )


def neighbour_rules(parameters: Parameters) -> tuple[Rule, Rule]:
    """What saved matrices of the form of Ā_{i,i+1} and of G_{i,i+1} may be."""
    pairs = list(pairwise(parameters))
    return (
        items([tensor((w.shape[1], above.shape[1]), w.dtype) for w, above in pairs]),
        items([tensor((w.shape[0], above.shape[0]), w.dtype) for w, above in pairs]),
    )


@dataclass(frozen=True)
class CaseFactors:
    """g_1 … g_ℓ, (m, d_i), and ā_0 … ā_{ℓ-1}, (m, d_i + 1), of every case (section 8)."""

    gradients: list[Tensor]
    homogeneous: list[Tensor]


def sum_over_cases(
    homogeneous: list[Tensor],
    gradients: list[Tensor],
    neighbours: bool,
    products: Products = BLAS,
) -> KroneckerFactors:
    """Σ ā_i ā_jᵀ and Σ g_i g_jᵀ over m cases.

    `homogeneous[i]` is ā_i (m, d_i+1), `gradients[i]` is g_{i+1} (m, d_{i+1}); `neighbours` adds
    the blocks j = i+1, which the block-tridiagonal inverse needs.
    """
    multiply = products.multiply
    return KroneckerFactors(
        [multiply(a.T, a) for a in homogeneous],
        [multiply(g.T, g) for g in gradients],
        [multiply(a.T, above) for a, above in pairwise(homogeneous)] if neighbours else [],
        [multiply(g.T, above) for g, above in pairwise(gradients)] if neighbours else [],
    )


def running_average_weight(iteration: int, maximum: float = 0.95) -> float:
    """ε = min(1 - 1/k, maximum) at iteration k = 1, 2, … (section 5)."""
    return min(1 - 1 / iteration, maximum)
