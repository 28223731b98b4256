"""Predictive distributions R(y|z) whose natural parameters z are the network's outputs s_ℓ.

With natural parameters the Fisher equals the generalised Gauss-Newton matrix (section 6.1).
`logits` (m, d_ℓ) are s_ℓ.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot


class Distribution(Protocol):
    """The operations on R(y|z) that the engine needs."""

    def mean(self, logits: Tensor) -> Tensor:
        """E[y], the network's prediction, (m, d_ℓ)."""
        ...

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss L(y, z) = -log r(y|z) in nats, up to a constant, per case (m,)."""
        ...

    def gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        """dL/dz, (m, d_ℓ)."""
        ...

    def error(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The reported error metric, per case (m,)."""
        ...

    def noise(self, cases: int, width: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """The random numbers that `sample` needs, one row per case; `width` is d_ℓ."""
        ...

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Targets y ~ R(y|z), (m, d_ℓ), a deterministic function of `noise`."""
        ...

    def fisher_root(self, logits: Tensor, tangents: Tensor) -> Tensor:
        """B t for tangents t (..., m, d_ℓ), where F_R = BᵀB is the Fisher of R(y|z) (app. C)."""
        ...

    def fisher_root_transpose(self, logits: Tensor, values: Tensor) -> Tensor:
        """Bᵀ u for values u (m, d_ℓ), so that F_R t = Bᵀ(B t)."""
        ...


class Bernoulli:
    """Independent binary outputs with logits z: cross-entropy, summed over outputs.

    Targets are probabilities in [0, 1]; the error is the squared error of the mean, summed.
    """

    def mean(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return loss.sum(1, dtype=torch.float64)

    def gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        return torch.sigmoid(logits).sub_(targets)

    def error(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.gradient(logits, targets).square_().sum(1, dtype=torch.float64)

    def noise(self, cases: int, width: int, generator: torch.Generator, like: Tensor) -> Tensor:
        return _uniform(cases, width, generator, like)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        return (noise < torch.sigmoid(logits)).to(logits.dtype)

    def fisher_root(self, logits: Tensor, tangents: Tensor) -> Tensor:
        mean = torch.sigmoid(logits)
        return tangents * (mean * (1 - mean)).sqrt_()

    def fisher_root_transpose(self, logits: Tensor, values: Tensor) -> Tensor:
        return self.fisher_root(logits, values)


class Gaussian:
    """Outputs with mean z and unit variance: half the squared error, summed over outputs.

    With unit variance, to which the ½ belongs, the Fisher F_R is the identity.
    """

    def mean(self, logits: Tensor) -> Tensor:
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.error(logits, targets).mul_(0.5)

    def gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        return logits - targets

    def error(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits - targets).square_().sum(1, dtype=torch.float64)

    def noise(self, cases: int, width: int, generator: torch.Generator, like: Tensor) -> Tensor:
        shape = (cases, width)
        return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        return logits + noise

    def fisher_root(self, logits: Tensor, tangents: Tensor) -> Tensor:
        return tangents

    def fisher_root_transpose(self, logits: Tensor, values: Tensor) -> Tensor:
        return values


class Categorical:
    """One of d_ℓ classes with logits z: cross-entropy of a softmax.

    Targets are class probabilities (one-hot rows for labels); the error is the error rate.
    """

    def mean(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, 1)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -(torch.log_softmax(logits, 1) * targets).sum(1, dtype=torch.float64)

    def gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        # Σ_k y_k is 1 for class probabilities; the factor makes the derivative exact in general.
        return torch.softmax(logits, 1) * targets.sum(1, keepdim=True) - targets

    def error(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.argmax(1) != targets.argmax(1)).to(torch.float64)

    def noise(self, cases: int, width: int, generator: torch.Generator, like: Tensor) -> Tensor:
        return _uniform(cases, 1, generator, like)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        cumulative = torch.softmax(logits, 1).cumsum(1)
        chosen = (noise * cumulative[:, -1:] >= cumulative).sum(1)
        classes = logits.shape[1]
        return one_hot(chosen.clamp_max_(classes - 1), classes).to(logits.dtype)

    def fisher_root(self, logits: Tensor, tangents: Tensor) -> Tensor:
        # F_R = diag(p) - ppᵀ, so that tᵀF_R t is the variance of t under p.
        mean = torch.softmax(logits, 1)
        centre = (tangents * mean).sum(-1, keepdim=True)
        return (tangents - centre) * mean.sqrt()

    def fisher_root_transpose(self, logits: Tensor, values: Tensor) -> Tensor:
        mean = torch.softmax(logits, 1)
        scaled = values * mean.sqrt()
        return scaled - mean * scaled.sum(1, keepdim=True)


def _uniform(cases: int, width: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand((cases, width), generator=generator, device=like.device, dtype=like.dtype)


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "categorical": Categorical,
}
