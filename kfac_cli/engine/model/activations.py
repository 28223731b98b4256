"""Element-wise activation functions φ, with derivatives in terms of their output."""

from typing import Protocol

import torch
from torch import Tensor


class Activation(Protocol):
    """An activation function φ: a = φ(s)."""

    def apply(self, weighted_sums: Tensor, out: Tensor) -> None:
        """Write φ(s) into `out`, which has the shape of s."""
        ...

    def times_derivative(self, values: Tensor, activities: Tensor) -> Tensor:
        """Multiply `values` (..., m, d) by φ'(s), in place, where a = φ(s) is given (m, d)."""
        ...


class Logistic:
    """φ(s) = 1/(1 + e^-s), φ' = a(1 - a)."""

    def apply(self, weighted_sums: Tensor, out: Tensor) -> None:
        torch.sigmoid(weighted_sums, out=out)

    def times_derivative(self, values: Tensor, activities: Tensor) -> Tensor:
        values.mul_(activities)
        return values.addcmul_(values, activities, value=-1)


class Tanh:
    """φ(s) = tanh s, φ' = 1 - a²."""

    def apply(self, weighted_sums: Tensor, out: Tensor) -> None:
        torch.tanh(weighted_sums, out=out)

    def times_derivative(self, values: Tensor, activities: Tensor) -> Tensor:
        return values.mul_(1 - activities.square())


class Relu:
    """φ(s) = max(s, 0), φ' = 1 where a > 0 and 0 elsewhere."""

    def apply(self, weighted_sums: Tensor, out: Tensor) -> None:
        torch.clamp_min(weighted_sums, 0, out=out)

    def times_derivative(self, values: Tensor, activities: Tensor) -> Tensor:
        return values.mul_(activities > 0)


class Linear:
    """φ(s) = s."""

    def apply(self, weighted_sums: Tensor, out: Tensor) -> None:
        out.copy_(weighted_sums)

    def times_derivative(self, values: Tensor, activities: Tensor) -> Tensor:
        return values


ACTIVATIONS: dict[str, type[Activation]] = {
    "logistic": Logistic,
    "tanh": Tanh,
    "relu": Relu,
    "linear": Linear,
}
