"""h and ∇h on a mini-batch, ℓ₂ included: what every optimizer's step begins with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from kfac_cli.engine.curvature.protocol import Needs
from kfac_cli.engine.model.first_order import FirstOrder
from kfac_cli.engine.model.gradient_noise import noise_scale
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import (
    Parameters,
    add_l2_gradient,
    added,
    all_finite,
    l2_penalty,
    squared_norm,
    sum_of_entries,
)
from kfac_cli.engine.products import Products
from kfac_cli.engine.transfer import fetch_numbers


@dataclass(frozen=True, eq=False)
class Linearization:
    """h(θ + δ) ≈ h(θ) + ∇hᵀδ on the cases of `batch`, θ being its parameters.

    `objective` is h(θ) and `gradient` ∇h, both with the ℓ₂ term of coefficient η = `l2`; `error` is
    the mean error; `finite` says whether all of it and the statistics are. `noise_scale` is
    tr Var / ‖∇h‖² (`gradient_noise.py`), if the variance was requested. `first` holds what else the
    gradient's pass gives, without the ℓ₂ term.
    """

    batch: MiniBatch
    l2: float
    objective: float
    error: float
    finite: bool
    noise_scale: float | None
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
        kept_cases: int = 0,
        kept_bytes: int = 0,
    ) -> "Linearization":
        """Compute it, with what else is requested as from `MiniBatch.first_order`.

        The host waits for the device once.
        """
        first = batch.first_order(
            request,
            variance=variance,
            case_factors=case_factors,
            kept_cases=kept_cases,
            kept_bytes=kept_bytes,
        )
        gradient = add_l2_gradient(first.gradient, batch.parameters, l2)
        tensors = [*gradient, *(() if first.statistics is None else first.statistics.tensors())]
        numbers = [first.loss + l2_penalty(batch.parameters, l2), first.error]
        numbers.append(sum_of_entries(tensors))
        if first.variance is not None:
            numbers += [first.variance, squared_norm(gradient)]
        objective, error, total, *noise = fetch_numbers(*numbers)
        finite = math.isfinite(objective) and (math.isfinite(total) or all_finite(tensors))
        scale = noise_scale(*noise) if noise else None
        return cls(batch, l2, objective, error, finite, scale, gradient, first)

    @property
    def products(self) -> Products:
        """What makes matrix products: the network's."""
        return self.batch.network.products

    @property
    def parameters(self) -> Parameters:
        """θ."""
        return self.batch.parameters

    def shifted(self, delta: Parameters) -> Parameters:
        """θ + δ."""
        return added(self.parameters, delta)

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
    return StatisticsRequest(cases, needs.neighbours, seeds, options.fisher, needs.bases)
