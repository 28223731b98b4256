"""The statistics Ā and G behind both approximate Fishers (section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True)
class KroneckerFactors:
    """Ā_{i,j} = E[ā_i ā_jᵀ] and G_{i,j} = E[g_i g_jᵀ] on the (block-)tridiagonal.

    `activation[i]` is Ā_{i,i}, (d_i+1, d_i+1), i = 0…ℓ-1; `gradient[i]` is G_{i+1,i+1},
    (d_{i+1}, d_{i+1}), i = 0…ℓ-1. `activation_next[i]` is Ā_{i,i+1} and `gradient_next[i]` is
    G_{i+1,i+2}, i = 0…ℓ-2; both lists are empty where only the diagonal blocks are kept.
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

    def add_(self, other: "KroneckerFactors") -> None:
        """Add another set, in place."""
        for mine, theirs in zip(self.tensors(), other.tensors(), strict=True):
            mine.add_(theirs)

    def scale_(self, scale: float) -> None:
        """Multiply by a number, in place."""
        for matrix in self.tensors():
            matrix.mul_(scale)

    def average_(self, new: "KroneckerFactors", epsilon: float) -> None:
        """Running average, in place: ε times the old estimate plus (1 - ε) times the new one."""
        for mine, theirs in zip(self.tensors(), new.tensors(), strict=True):
            mine.lerp_(theirs, 1 - epsilon)


def sum_over_cases(
    homogeneous: list[Tensor], gradients: list[Tensor], neighbours: bool
) -> KroneckerFactors:
    """Σ ā_i ā_jᵀ and Σ g_i g_jᵀ over m cases.

    `homogeneous[i]` is ā_i (m, d_i+1), `gradients[i]` is g_{i+1} (m, d_{i+1}); `neighbours` asks
    for the blocks j = i+1 too, which the block-tridiagonal inverse needs.
    """
    activation = [a.T @ a for a in homogeneous]
    gradient = [g.T @ g for g in gradients]
    if not neighbours:
        return KroneckerFactors(activation, gradient)
    return KroneckerFactors(
        activation,
        gradient,
        [a.T @ above for a, above in pairwise(homogeneous)],
        [g.T @ above for g, above in pairwise(gradients)],
    )


def running_average_weight(iteration: int, maximum: float = 0.95) -> float:
    """ε = min(1 - 1/k, maximum) at iteration k = 1, 2, … (section 5)."""
    return min(1 - 1 / iteration, maximum)
