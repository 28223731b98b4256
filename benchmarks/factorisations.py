"""Cost and accuracy of the factorisations for Σ⁻¹ (section 4.3, appendix B).

    python benchmarks/factorisations.py

One layer of the block-tridiagonal inverse with all dimensions equal, from float32 statistics of
correlated cases, damped by γ. Its product with a vector in float32 is computed by decompositions in
float64 (the engine's default), by doubling in float64 and by decompositions in float32. Times are
CPU times of one thread, which depend little on other load, relative to the first method; errors are
relative to the same product all in float64. An eigendecomposition is timed in both precisions for
comparison. Takes less than a minute.
"""

from collections.abc import Callable
from time import process_time
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from kfac_cli.engine.curvature.kronecker import KroneckerSumInverse, inverse_root
from kfac_cli.engine.curvature.stein import DoublingInverse

SIZES = (256, 512, 1001)
GAMMAS = (0.1, 0.003)
REPEATS = 2

Result = TypeVar("Result")


class Statistics(NamedTuple):
    """Second moments of a layer, of the layer above, and between both; float32."""

    here: Tensor
    above: Tensor
    between: Tensor


def statistics(size: int, generator: torch.Generator) -> Statistics:
    """Logistic units over a few latent causes, scaled to an average eigenvalue of 1."""
    latent = torch.randn(2 * size, size // 4, generator=generator)
    here = torch.sigmoid(latent @ torch.randn(size // 4, size, generator=generator) / 4)
    above = torch.sigmoid(here @ torch.randn(size, size, generator=generator) / 4)
    here, above = (units * (units.numel() / units.square().sum()).sqrt() for units in (here, above))
    cases = here.shape[0]
    return Statistics(here.T @ here / cases, above.T @ above / cases, here.T @ above / cases)


def roots(side: Statistics, gamma: float, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """R with R Rᵀ = A⁻¹ and X with X Xᵀ = C, computed in `precision`."""

    def root(matrix: Tensor) -> Tensor:
        eye = torch.eye(matrix.shape[0], dtype=precision)
        damped = matrix.to(precision) + gamma * eye
        if precision == torch.float64:
            return inverse_root(damped)
        return torch.linalg.solve_triangular(torch.linalg.cholesky(damped).T, eye, upper=True)

    return root(side.here), side.between.to(precision) @ root(side.above)


Inverse = KroneckerSumInverse | DoublingInverse


def build(
    sides: tuple[Statistics, Statistics],
    gamma: float,
    solver: type[Inverse],
    precision: torch.dtype,
    dtype: torch.dtype = torch.float32,
) -> Inverse:
    """Σ⁻¹ = (A⊗B - C⊗D)⁻¹, factorised in `precision`, for products in `dtype`."""
    (a_root, c_root), (b_root, d_root) = (roots(side, gamma, precision) for side in sides)
    return solver(a_root, b_root, c_root, d_root, -1, dtype)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """The shortest time of a few runs, in seconds, and their result."""
    times = []
    for _ in range(REPEATS):
        start = process_time()
        result = work()
        times.append(process_time() - start)
    return min(times), result


def report(size: int, gamma: float) -> None:
    """Print one block of the table."""
    generator = torch.Generator().manual_seed(size)
    sides = (statistics(size, generator), statistics(size, generator))
    vector = torch.randn(size, size, generator=generator)
    exact = build(sides, gamma, KroneckerSumInverse, torch.float64, torch.float64)
    expected = exact.multiply(vector.double())
    base: tuple[float, float] | None = None
    for name, solver, precision in (
        ("decomposition float64", KroneckerSumInverse, torch.float64),
        ("doubling float64", DoublingInverse, torch.float64),
        ("decomposition float32", KroneckerSumInverse, torch.float32),
    ):
        try:
            refresh, inverse = timed(lambda s=solver, p=precision: build(sides, gamma, s, p))
        except (ArithmeticError, torch.linalg.LinAlgError) as failure:
            print(f"{size:5} {gamma:6} {name:22} fails: {str(failure).splitlines()[0]}")
            continue
        multiply, product = timed(lambda i=inverse: i.multiply(vector))
        base = base or (refresh, multiply)
        error = (product.double() - expected).norm() / expected.norm()
        doublings = len(getattr(inverse, "a_powers", ()))
        print(
            f"{size:5} {gamma:6} {name:22} {refresh / base[0]:9.2f} {multiply / base[1]:9.2f} "
            f"{error:9.1e} {doublings or '':>9}"
        )
    matrix = sides[0].here
    double, _ = timed(lambda: torch.linalg.eigh(matrix.double()))
    single, _ = timed(lambda: torch.linalg.eigh(matrix))
    print(f"{'':12} eigh float32 / float64: {single / double:.2f}")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("times relative to the first line of each block")
    print(f"{'size':>5} {'gamma':>6} {'':22} {'refresh':>9} {'multiply':>9} {'error':>9} doublings")
    for size in SIZES:
        for gamma in GAMMAS:
            report(size, gamma)


if __name__ == "__main__":
    main()
