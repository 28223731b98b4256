"""Cost and accuracy of the ways to make the block-tridiagonal inverse (section 4.3, appendix B).

    python benchmarks/factorisations.py

Two layers with all dimensions equal, from float32 statistics of correlated cases, damped by γ. The
inverse's product with a vector in float32 is computed by decompositions in float32 (the engine's
default), by doubling, and all in float64. Times are CPU times of one thread, which depend little on
other load, relative to the first line; errors are relative to the same product all in float64.
Takes about a minute.
"""

from collections.abc import Callable
from time import process_time
from typing import TypeVar

import torch
from torch import Tensor

from kfac_cli.engine import BlockTridiagonalInverse, KroneckerFactors

SIZES = (256, 512, 1001)
GAMMAS = (0.1, 0.003)
REPEATS = 2

Result = TypeVar("Result")


def statistics(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Second moments of a layer, of the layer above, and between both; float32.

    Logistic units over a few latent causes, scaled to an average eigenvalue of 1.
    """
    latent = torch.randn(2 * size, size // 4, generator=generator)
    here = torch.sigmoid(latent @ torch.randn(size // 4, size, generator=generator) / 4)
    above = torch.sigmoid(here @ torch.randn(size, size, generator=generator) / 4)
    here, above = (units * (units.numel() / units.square().sum()).sqrt() for units in (here, above))
    cases = here.shape[0]
    return here.T @ here / cases, above.T @ above / cases, here.T @ above / cases


def factors(size: int, dtype: torch.dtype) -> KroneckerFactors:
    """Ā and G of two layers, the same values in each dtype."""
    generator = torch.Generator().manual_seed(size)
    (a, a_above, a_next), (g, g_above, g_next) = (
        tuple(matrix.to(dtype) for matrix in statistics(size, generator)) for _ in range(2)
    )
    return KroneckerFactors([a, a_above], [g, g_above], [a_next], [g_next])


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
    vectors = [torch.randn(size, size, generator=generator) for _ in range(2)]
    base: tuple[float, float] | None = None
    expected: list[Tensor] = []
    for name, solver, dtype in (
        ("decomposition, all float64", "decomposition", torch.float64),
        ("decomposition", "decomposition", torch.float32),
        ("doubling", "doubling", torch.float32),
    ):
        given, cast = factors(size, dtype), [v.to(dtype) for v in vectors]
        refresh, inverse = timed(
            lambda f=given, s=solver: BlockTridiagonalInverse(f, gamma, sigma_solver=s)
        )
        multiply, product = timed(lambda i=inverse, v=cast: i.multiply(v))
        base, expected = base or (refresh, multiply), expected or product
        error = distance(product, expected) / distance(expected)
        doublings = len(getattr(inverse.couplings[0], "a_powers", ()))
        print(
            f"{size:5} {gamma:6} {name:27} {refresh / base[0]:8.2f} {multiply / base[1]:9.2f} "
            f"{error:9.1e} {doublings or '':>9}"
        )


def distance(left: list[Tensor], right: list[Tensor] | None = None) -> float:
    """The norm of a difference, or of `left` alone, over both layers."""
    others = right or [torch.zeros_like(each) for each in left]
    squares = [(a.double() - b.double()).square().sum() for a, b in zip(left, others, strict=True)]
    return float(torch.stack(squares).sum().sqrt())


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("times relative to the first line of each block")
    print(f"{'size':>5} {'gamma':>6} {'':27} {'refresh':>8} {'multiply':>9} {'error':>9} doublings")
    for size in SIZES:
        for gamma in GAMMAS:
            report(size, gamma)


if __name__ == "__main__":
    main()
