"""Running CG on M(δ) for longer (section 6.4): closer to Hessian-free optimization."""

from kfac_cli.engine.curvature.registry import Inverse
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.parameters import Parameters, combination, inner_products
from kfac_cli.engine.quadratic_model import QuadraticModel


def continue_conjugate_gradient(
    batch: MiniBatch,
    cases: int,
    inverse: Inverse,
    gradient: Parameters,
    update: Parameters,
    damping: float,
    steps: int,
) -> tuple[Parameters, float]:
    """Improve `update` δ by so many more steps of preconditioned CG; returns δ and M(δ) - M(0).

    M has the exact Fisher of the first `cases` cases of `batch`, plus `damping` = λ + η times I,
    and the slope `gradient` ∇h. The preconditioner is the approximate inverse Fisher. Each step
    minimises M over the preconditioned residual and the direction of the step before, as section 7
    does over iterations: from δ = αΔ, the minimiser along the first Δ, these are CG's iterates.
    Costs a product with F and one with the inverse a step.
    """
    last = update
    for _ in range(steps):
        curved = _product(batch, cases, update, damping)
        residual = [g + c for g, c in zip(gradient, curved, strict=True)]
        direction = [layer.neg_() for layer in inverse.multiply(residual)]
        directions = [direction, last]
        inner = inner_products([*directions, residual])
        fisher = batch.fisher_gram(directions, cases)
        model = QuadraticModel(fisher, inner[:-1, :-1], inner[-1, :-1])
        minimum = model.minimum([0, 1], damping)
        last = combination(minimum.coefficients, directions)
        update = [u + step for u, step in zip(update, last, strict=True)]
    curved = _product(batch, cases, update, damping)
    inner = inner_products([update, curved, gradient])
    return update, float(0.5 * inner[0, 1] + inner[0, 2])


def _product(batch: MiniBatch, cases: int, vector: Parameters, damping: float) -> Parameters:
    """(F + (λ+η)I) v."""
    product = batch.fisher_product(vector, cases)
    return [p.add_(v, alpha=damping) for p, v in zip(product, vector, strict=True)]
