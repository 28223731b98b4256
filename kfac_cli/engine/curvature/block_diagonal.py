"""F̆⁻¹, the block-diagonal approximate inverse Fisher (section 4.2)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factorization import Factorization
from kfac_cli.engine.curvature.factors import CaseFactors, KroneckerFactors, block_rules
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.protocol import Inverse
from kfac_cli.engine.curvature.sandwich import sandwich
from kfac_cli.engine.curvature.spread import Share
from kfac_cli.engine.curvature.tikhonov import UndampedFactors
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, record, word


class BlockDiagonalInverse(Inverse):
    """diag(Ā_{i-1,i-1} ⊗ G_{i,i})⁻¹ with factored Tikhonov damping of strength γ.

    `pi` is the name of one of `PI_RULES`; any other raises ValueError.
    """

    def __init__(
        self,
        factors: KroneckerFactors,
        gamma: float,
        *,
        pi: str = "trace",
        fallbacks: Fallbacks | None = None,
    ) -> None:
        shared = UndampedFactors(factors, pi)
        self._set(factor_inverses(shared, gamma, range(len(shared.sizes)), fallbacks))

    @classmethod
    def of(cls, inverses: Sequence[Tensor]) -> "BlockDiagonalInverse":
        """From the inverses of the damped Ā_{i-1,i-1} and then of the G_{i,i}."""
        inverse = cls.__new__(cls)
        inverse._set(inverses)
        return inverse

    def _set(self, inverses: Sequence[Tensor]) -> None:
        layers = len(inverses) // 2
        self.activation_inverse = list(inverses[:layers])
        self.gradient_inverse = list(inverses[layers:])

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """U_i = G_{i,i}⁻¹ V_i Ā_{i-1,i-1}⁻¹, for `vectors` shaped like the parameters."""
        return [
            sandwich(g, v, a, products)
            for v, a, g in zip(vectors, self.activation_inverse, self.gradient_inverse, strict=True)
        ]

    def multiply_gradient(
        self, gradient: Parameters, cases: CaseFactors | None, products: Products = BLAS
    ) -> Parameters:
        """F̆⁻¹∇h, by section 8's shortcut for layers where few `cases` make it cheaper.

        `gradient` is the mean over these cases plus ηθ, whose product the shortcut leaves out. For
        a layer with p outputs and q inputs (bias included) the multiplications are

            G⁻¹ (∇h) Ā⁻¹             p q (p + q)
            (G⁻¹𝒢) (𝒜ᵀĀ⁻¹) / m       m (p² + q² + p q)

        so that, where p = q = d, the shortcut is cheaper for m < 2d/3. ηθ is of full rank: its
        product alone costs as much as the first line. Without it the product is that of
        `multiply(gradient)` up to rounding.
        """
        if cases is None:
            return self.multiply(gradient, products)
        multiply, results = products.multiply, []
        for v, g, a, a_inverse, g_inverse in zip(
            gradient,
            cases.gradients,
            cases.homogeneous,
            self.activation_inverse,
            self.gradient_inverse,
            strict=True,
        ):
            if low_rank_is_cheaper(g.shape[0], *v.shape):
                left = multiply(g, g_inverse.T).T.div(g.shape[0])
                results.append(multiply(left, multiply(a, a_inverse)))
            else:
                results.append(sandwich(g_inverse, v, a_inverse, products))
        return results

    def state_dict(self) -> dict[str, Any]:
        """The cached inverses as tensors."""
        return attributes(self)

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        activation, gradient = block_rules(parameters)
        return record(
            {
                "type": word(cls.__name__),
                "activation_inverse": activation,
                "gradient_inverse": gradient,
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "BlockDiagonalInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        return restore(state, cls)


def share_of_inverses(
    factors: KroneckerFactors, pi: str, gammas: Sequence[float], processes: Processes
) -> Share[Tensor]:
    """The inverses of the damped factors for each γ: those that this process makes."""
    shared = UndampedFactors(factors, pi)
    costs = [size**3 for size in shared.sizes]
    return Share(partial(factor_inverses, shared), gammas, costs, processes, shared.device)


def factor_inverses(
    shared: UndampedFactors,
    gamma: float,
    numbers: Sequence[int],
    fallbacks: Fallbacks | None = None,
) -> list[Tensor]:
    """The inverses of some of the damped factors, in the dtype in which they are applied."""
    return inverted(shared.factorized(gamma, numbers, fallbacks), shared.dtype)


def inverted(factorizations: Sequence[Factorization], dtype: torch.dtype) -> list[Tensor]:
    """The inverses from factorisations, in `dtype`."""
    return side_by_side(
        lambda each: each.inverse().to(dtype), factorizations, lambda each: each.factor
    )


def low_rank_is_cheaper(cases: int, rows: int, columns: int) -> bool:
    """Whether section 8's shortcut takes fewer multiplications; see `multiply_gradient`."""
    direct = rows * columns * (rows + columns)
    return cases * (rows**2 + columns**2 + rows * columns) < direct
