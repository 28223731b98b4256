"""h and ∇h on a mini-batch, ℓ₂ included: what every optimizer's step begins with."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from kfac_cli.engine.curvature.protocol import Needs
from kfac_cli.engine.model.gradient_noise import noise_scale
from kfac_cli.engine.model.minibatch import FirstOrder, MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters, add_l2_gradient, l2_penalty


@dataclass(frozen=True, eq=False)
class Linearization:
    """h(θ + δ) ≈ h(θ) + ∇hᵀδ on the cases of `batch`, θ being its parameters.

    `objective` is h(θ) and `gradient` ∇h, both with the ℓ₂ term of coefficient η = `l2`; `first`
    holds what else the gradient's pass gives, without it.
    """

    batch: MiniBatch
    l2: float
    objective: float
    gradient: Parameters
    first: FirstOrder

    @classmethod
    def of(
        cls,
        batch: MiniBatch,
        l2: float,
        request: StatisticsRequest | None = None,
        *,
        variance: bool = False,
        case_factors: bool = False,
    ) -> "Linearization":
        """Compute it, with the statistics that are requested as from `MiniBatch.first_order`."""
        first = batch.first_order(request, variance=variance, case_factors=case_factors)
        objective = first.loss + l2_penalty(batch.parameters, l2)
        return cls(
            batch, l2, objective, add_l2_gradient(first.gradient, batch.parameters, l2), first
        )

    @property
    def parameters(self) -> Parameters:
        """θ."""
        return self.batch.parameters

    @property
    def noise_scale(self) -> float | None:
        """The noise scale tr Var / ‖∇h‖² (`gradient_noise.py`), if the variance was requested."""
        variance = self.first.variance
        return None if variance is None else noise_scale(variance, self.gradient)

    def shifted(self, delta: Parameters) -> Parameters:
        """θ + δ."""
        return [p + d for p, d in zip(self.parameters, delta, strict=True)]

    def objective_at(self, parameters: Parameters) -> float:
        """Compute h at other parameters on the same cases, by a forward pass."""
        return self.batch.objective(parameters, self.l2)

    def fisher_gram(self, directions: Sequence[Parameters], cases: int) -> Tensor:
        """uᵀFv for all pairs of directions, as `MiniBatch.fisher_gram`."""
        return self.batch.fisher_gram(directions, cases, self.first.activations)

    def fisher_product(self, direction: Parameters, cases: int) -> Parameters:
        """F v, as `MiniBatch.fisher_product`."""
        return self.batch.fisher_product(direction, cases, self.first.activations)


def statistics_request(
    needs: Needs, options: KFACOptions, cases: int, seeds: tuple[int, ...]
) -> StatisticsRequest | None:
    """What to request from the first `cases` cases for a curvature; None if it needs nothing."""
    if not needs.statistics:
        return None
    return StatisticsRequest(cases, needs.neighbours, seeds, options.fisher)
