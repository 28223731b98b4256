"""Appendix B's general formula, of which the engine needs special cases, and problems for it."""

import torch

from engine import oracles
from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, inverted
from kfac_cli.engine.curvature.coupling import whitened
from kfac_cli.engine.curvature.factorization import factorized
from kfac_cli.engine.curvature.sigma import SIGMA_SOLVERS
from kfac_cli.engine.curvature.tikhonov import symmetrized

FLOAT64_EPS = torch.finfo(torch.float64).eps
ROWS, COLUMNS = 5, 4  # of B, D and of A, C


class SumInverse:
    """(A (x) B + sign C (x) D)^-1 for any symmetric positive semi-definite A, B, C and D.

    The appendix starts from A^(-1/2). Here A and C are diagonalised together through N = A + C,
    scaled to equal traces: K1^T N K1 = I and K1^T A K1 = t1, hence K1^T C K1 = 1 - t1; likewise B
    and D. The inverse is (K1 (x) K2) diag(1/w) (K1 (x) K2)^T with w = t1 t2 +- (1 - t1)(1 - t2).
    A + C and B + D must be positive definite, which is no restriction: a vector that both A and C
    map to 0 makes the sum itself singular. A w that rounding may have made 0 is clipped.

    If A and B are well conditioned this is as accurate as the appendix's formula. If they are not
    but the sum is, its error stays near eps times the condition of the sum, while the appendix's
    grows with cond(A).
    """

    def __init__(self, a, b, c, d, sign, fallbacks=None):
        scales = [_mean_eigenvalue(m) for m in (a, b, c, d)]
        a, b, c, d = (symmetrized(m) / s for m, s in zip((a, b, c, d), scales, strict=True))
        t1, self.k1 = _simultaneously_diagonal(a, c, fallbacks)
        t2, self.k2 = _simultaneously_diagonal(b, d, fallbacks)
        first = scales[0] * scales[1] * torch.outer(t2, t1)
        second = scales[2] * scales[3] * torch.outer(1 - t2, 1 - t1)
        eigenvalues = first + sign * second
        smallest = max(first.max(), second.max()) * sum(eigenvalues.shape) * FLOAT64_EPS
        singular = eigenvalues.abs() < smallest
        if fallbacks is not None and singular.any():
            fallbacks.clipped_sums += 1
        clipped = torch.copysign(smallest, eigenvalues)
        self.weights = torch.where(singular, clipped, eigenvalues).reciprocal()

    def multiply(self, matrix):
        """The product with vec(V), V (dim B, dim A), as a matrix of V's shape."""
        return self.k2 @ ((self.k2.T @ matrix @ self.k1) * self.weights) @ self.k1.T


class DifferenceInverse:
    """(A (x) B - C (x) D)^-1 for C = X X^T and D = Y Y^T by the engine's couplings.

    It is the block of the first of two layers in the inverse of [A (x) B, X (x) Y; (X (x) Y)^T, I].
    `couple` makes the couplings, in `dtype`; one of `SIGMA_SOLVERS`.
    """

    def __init__(
        self, a, b, x, y, dtype=torch.float64, fallbacks=None, couple=SIGMA_SOLVERS["decomposition"]
    ):
        sides = [
            factorized([m, torch.eye(n.shape[1], dtype=m.dtype)], fallbacks)
            for m, n in ((a, x), (b, y))
        ]
        both = [whitened([n], [tuple(side)]) for n, side in zip((x, y), sides, strict=True)]
        pairs = list(zip(*both, strict=True))
        self.diagonal = BlockDiagonalInverse.of(inverted([*sides[0], *sides[1]], dtype))
        [self.coupling] = couple(pairs, dtype, fallbacks)
        self.above = torch.zeros(y.shape[1], x.shape[1], dtype=dtype)

    def multiply(self, matrix):
        """The product with vec(V), V (dim B, dim A), as a matrix of V's shape."""
        products = self.diagonal.multiply([matrix, self.above])
        self.coupling.add_product_(matrix, self.above, *products)
        return products[0]


def inverse_root(matrix, fallbacks=None):
    """R with R R^T = M^-1, as the engine computes it."""
    [factorization] = factorized([matrix], fallbacks)
    return factorization.root(torch.eye(len(matrix), dtype=matrix.dtype))


def _simultaneously_diagonal(first, second, fallbacks):
    """t and K with K^T (A + C) K = I and K^T A K = diag(t), 0 <= t <= 1."""
    root = inverse_root(first + second, fallbacks)
    values, vectors = torch.linalg.eigh(symmetrized(root.T @ first @ root))
    return values.clamp(0, 1), root @ vectors


def _mean_eigenvalue(matrix):
    """Of a positive semi-definite matrix; 1 for the zero matrix."""
    mean = matrix.diagonal().mean().item()
    return mean if mean > 0 else 1.0


# --- problems ------------------------------------------------------------------------------------


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def orthogonal(size, seed):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def semidefinite(size, rank, seed):
    root = normal(size, rank, seed=seed)
    return root @ root.T


def with_condition(size, condition, seed):
    """Symmetric, its eigenvalues spread evenly on a log scale over 1/condition ... 1."""
    basis = orthogonal(size, seed)
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), size, dtype=torch.float64)
    return basis * values @ basis.T


def nearly_singular(condition, gap, seed=1):
    """A, B, X, Y and V with 1 - s1 s2 = gap at its smallest, and (A (x) B - C (x) D)^-1 vec(V).

    A = L L^T and C = L Q diag(s) Q^T L^T, so that the spectrum is known and with it the answer.
    """
    (l1, q1, s1), (l2, q2, s2) = (
        (
            torch.linalg.cholesky(with_condition(n, condition, seed=seed + n)),
            orthogonal(n, seed=seed + n + 10),
            torch.linspace(1, 0, n, dtype=torch.float64) * (1 - gap) ** 0.5,
        )
        for n in (COLUMNS, ROWS)
    )
    v = normal(ROWS, COLUMNS, seed=seed + 20)
    k1, k2 = (torch.linalg.solve_triangular(m.T, q, upper=True) for m, q in ((l1, q1), (l2, q2)))
    answer = k2 @ ((k2.T @ v @ k1) / (1 - torch.outer(s2, s1))) @ k1.T
    return l1 @ l1.T, l2 @ l2.T, l1 @ q1 * s1.sqrt(), l2 @ q2 * s2.sqrt(), v, answer


# --- what to compare with ------------------------------------------------------------------------


def dense(a, b, c, d, sign):
    return torch.kron(a, b) + sign * torch.kron(c, d)


def error(inverse, matrix, v):
    """Relative error of a product, against a dense solution."""
    expected = torch.linalg.solve(matrix, oracles.vec([v]))
    return oracles.relative_error(oracles.vec([inverse.multiply(v)]), expected)
