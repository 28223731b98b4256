"""Inverses of small factors and of A⊗B ± C⊗D by decompositions (appendix B).

Two forms of the appendix's formula: `KroneckerSumInverse` for Σ of section 4.3, and the simpler
`DiagonalizedInverse`, where A⊗B is a multiple of I, for eqn 6.

Decompositions are in float64: at the small γ of late training the factors are so ill-conditioned
that float32 has no correct digits. Products with the results are in the dtype of the parameters.
"""

import torch
from torch import Tensor

from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.state_rules import Rule, entries, record, square, tensor, word

MIN_GAP = 1e-10
"""Lower bound for 1 - s₁s₂, where rounding would make A⊗B - C⊗D singular or indefinite."""


def inverse_root(matrix: Tensor, fallbacks: Fallbacks | None = None) -> Tensor:
    """R with R Rᵀ = M⁻¹ for a symmetric positive definite M (d, d); float64.

    R = L⁻ᵀ for the Cholesky factor L of M = L Lᵀ. If rounding has made M indefinite, the fallback
    is its eigendecomposition, the spectrum clipped from below at d·eps times the largest
    eigenvalue. Raises ValueError if M is not finite.
    """
    matrix = symmetrized(matrix.to(torch.float64))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) == 0:
        identity = torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
        root: Tensor = torch.linalg.solve_triangular(factor.T, identity, upper=True)
        return root
    values, vectors = torch.linalg.eigh(_finite(matrix))
    largest = max(float(values[-1]), torch.finfo(matrix.dtype).tiny)
    smallest = matrix.shape[0] * torch.finfo(matrix.dtype).eps * largest
    (fallbacks or Fallbacks()).record(
        "clipped_factors",
        "a %d x %d curvature factor is not positive definite (smallest eigenvalue %.3g): "
        "its spectrum is clipped at %.3g",
        *matrix.shape,
        float(values[0]),
        smallest,
    )
    clipped: Tensor = vectors * values.clamp_min(smallest).rsqrt()
    return clipped


def _finite(matrix: Tensor) -> Tensor:
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("a curvature factor has entries that are not finite")
    return matrix


def symmetrized(matrix: Tensor) -> Tensor:
    """(M + Mᵀ)/2, since eigensolvers read one triangle only."""
    return (matrix + matrix.T) / 2


class KroneckerSumInverse:
    """(A⊗B + sign·C⊗D)⁻¹ for positive definite A, B and C = X Xᵀ, D = Y Yᵀ.

    With A⁻¹ = R_A R_Aᵀ and B⁻¹ = R_B R_Bᵀ, the matrices R_AᵀC R_A and R_BᵀD R_B have eigenvectors E
    and eigenvalues s, and

        (A⊗B ± C⊗D)⁻¹ = A⁻¹⊗B⁻¹ ∓ (P₁⊗P₂) diag(1 / (1 ± s₁s₂)) (P₁⊗P₂)ᵀ,  P = R E √s.

    This is the appendix's formula with 1/(1 ± s₁s₂) = 1 ∓ s₁s₂/(1 ± s₁s₂) substituted. It needs
    only as many eigenvectors as X and Y have columns, and so is cheap if X or Y is narrow.

    For sign = -1 its relative error is about eps·cond/(1 - s₁s₂), with the larger condition of A
    and B and the largest s₁s₂. 1 - s₁s₂ is clipped at 1e-10, and the event counted: the result is
    then still finite and positive definite. For sign = 1 the two terms cancel if s₁s₂ is large.

    `a_root`, `b_root` are R_A, R_B from `inverse_root`; `c_root`, `d_root` are X, Y.
    """

    def __init__(
        self,
        a_root: Tensor,
        b_root: Tensor,
        c_root: Tensor,
        d_root: Tensor,
        sign: int,
        dtype: torch.dtype,
        fallbacks: Fallbacks | None = None,
    ) -> None:
        s1, p1 = _spectral_part(a_root, c_root)
        s2, p2 = _spectral_part(b_root, d_root)
        gap = 1 + sign * torch.outer(s2, s1)
        smallest = float(gap.min())
        if smallest < MIN_GAP:
            (fallbacks or Fallbacks()).record(
                "clipped_sums",
                "1 - s1 s2 of a difference of Kronecker products is %.3g: clipped at %.3g",
                smallest,
                MIN_GAP,
            )
        self.a_inverse = (a_root @ a_root.T).to(dtype)
        self.b_inverse = (b_root @ b_root.T).to(dtype)
        self.p1 = p1.to(dtype)
        self.p2 = p2.to(dtype)
        self.weights = (-sign / gap.clamp_min(MIN_GAP)).to(dtype)

    def multiply(self, matrix: Tensor) -> Tensor:
        """The product with vec(V), V (dim B, dim A), as a matrix of V's shape."""
        middle = (self.p2.T @ matrix @ self.p1).mul_(self.weights)
        result = self.b_inverse @ matrix @ self.a_inverse
        return result.add_(self.p2 @ middle @ self.p1.T)

    @staticmethod
    def state_rules(weights: Tensor, above: Tensor) -> Rule:
        """What the `attributes` may be for Σ of `weights` (p, q) and those of the layer `above`."""
        (p, q), kind = weights.shape, weights.dtype
        rank1, rank2 = min(q, above.shape[1]), min(p, above.shape[0])
        return record(
            {
                "type": word("KroneckerSumInverse"),
                "a_inverse": square(q, kind),
                "b_inverse": square(p, kind),
                "p1": tensor((q, rank1), kind),
                "p2": tensor((p, rank2), kind),
                "weights": tensor((rank2, rank1), kind, nonnegative=entries),
            }
        )


def _spectral_part(root: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues s of RᵀXXᵀR and P = R E √s, from the smaller of the two Gram matrices."""
    product = root.T @ other
    if product.shape[0] <= product.shape[1]:
        values, vectors = torch.linalg.eigh(symmetrized(product @ product.T))
        values = values.clamp_min(0)
        return values, root @ (vectors * values.sqrt())
    values, vectors = torch.linalg.eigh(symmetrized(product.T @ product))
    return values.clamp_min(0), root @ (product @ vectors)


class DiagonalizedInverse:
    """(ξ I⊗I + C⊗D)⁻¹ for positive semi-definite C, D: the appendix's case of a multiple of I.

    With C = K₁ diag(s₁) K₁ᵀ and D = K₂ diag(s₂) K₂ᵀ it is (K₁⊗K₂) diag(1 / (ξ + s₁s₂)) (K₁⊗K₂)ᵀ.
    K₁ and K₂ are orthogonal, so ill-conditioned C and D cost no accuracy. Eigenvalues ξ + s₁s₂ are
    clipped, and the event counted, at (dim C + dim D)·eps times the largest of ξ and s₁s₂. Raises
    ValueError if C or D is not finite.
    """

    def __init__(self, xi: float, c: Tensor, d: Tensor, fallbacks: Fallbacks | None = None) -> None:
        s1, k1 = torch.linalg.eigh(_finite(symmetrized(c.to(torch.float64))))
        s2, k2 = torch.linalg.eigh(_finite(symmetrized(d.to(torch.float64))))
        products = torch.outer(s2.clamp_min(0), s1.clamp_min(0))
        eigenvalues = xi + products
        limits = torch.finfo(eigenvalues.dtype)
        largest = max(xi, float(products.max()))
        smallest = max(largest * sum(eigenvalues.shape) * limits.eps, limits.tiny)
        if float(eigenvalues.min()) < smallest:
            (fallbacks or Fallbacks()).record(
                "clipped_sums",
                "a sum of Kronecker products is singular: its smallest eigenvalue %.3g "
                "is clipped at %.3g",
                float(eigenvalues.min()),
                smallest,
            )
        self.k1: Tensor = k1.to(c.dtype)
        self.k2: Tensor = k2.to(c.dtype)
        self.weights = eigenvalues.clamp_min(smallest).reciprocal().to(c.dtype)

    def multiply(self, matrix: Tensor) -> Tensor:
        """The product with vec(V), V (dim D, dim C), as a matrix of V's shape."""
        middle = (self.k2.T @ matrix @ self.k1).mul_(self.weights)
        return self.k2 @ middle @ self.k1.T

    @staticmethod
    def state_rules(weights: Tensor) -> Rule:
        """What the `attributes` may be for a layer with `weights` (p, q)."""
        (p, q), kind = weights.shape, weights.dtype
        return record(
            {
                "type": word("DiagonalizedInverse"),
                "k1": tensor((q, q), kind),
                "k2": tensor((p, p), kind),
                "weights": tensor((p, q), kind, nonnegative=entries),
            }
        )
