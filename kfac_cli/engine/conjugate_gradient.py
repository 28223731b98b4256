"""Further CG steps on M(δ) (section 6.4): closer to Hessian-free optimization."""

from kfac_cli.engine.curvature.protocol import Inverse
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.parameters import Parameters, added
from kfac_cli.engine.subspace import Subspaces


def continue_conjugate_gradient(
    here: Linearization,
    cases: int,
    inverse: Inverse,
    delta: Parameters,
    change: float,
    damping: float,
    steps: int,
) -> tuple[Parameters, float]:
    """Improve `delta` by `steps` steps of preconditioned CG; returns δ and M(δ) - M(0).

    `change` is M(δ) - M(0) of the δ that is given.

    M has the curvature F + `damping` I, where F is the exact Fisher on the last `cases` cases of
    the mini-batch and `damping` is λ + η, and the slope ∇h. The preconditioner is `inverse`.
    Each step minimises M over the preconditioned residual and the previous step, as section 7 does
    over iterations: from δ = αΔ, the minimiser along Δ, these are CG's iterates. A step takes one
    product with F, two with J, which cost as much again, and one with the inverse.
    """
    last = delta
    for _ in range(steps):
        curvature_product = _product(here, cases, delta, damping)
        residual = [g + c for g, c in zip(here.gradient, curvature_product, strict=True)]
        direction = [-layer for layer in inverse.multiply(residual, here.products)]
        spans = Subspaces.of(here, residual, [direction], last, cases)
        minimum = spans.minimum(0, damping)
        last = spans.update(0, minimum.coefficients)
        delta = added(delta, last)
        change += minimum.change
    return delta, change


def _product(here: Linearization, cases: int, vector: Parameters, damping: float) -> Parameters:
    """(F + (λ+η)I) v."""
    product = here.fisher_product(vector, cases)
    return [p.add_(v, alpha=damping) for p, v in zip(product, vector, strict=True)]
