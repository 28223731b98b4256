"""Inverses of small factors and of A⊗B ± C⊗D by decompositions (appendix B).

Two forms of the appendix's formula, for two needs. `KroneckerSumInverse` wants A and B positive
definite, C and D as X Xᵀ and Y Yᵀ, and finds only as many eigenvectors as X and Y have columns:
Σ of section 4.3. `DiagonalizedInverse` takes any positive semi-definite A…D whose sum is
invertible, and ξI for A⊗B: eqn 6.

The factorisations run in float64: at the small γ of late training the factors' condition numbers
leave float32 no correct digits. Products with the results run in the dtype of the parameters.
"""

import torch
from torch import Tensor

from kfac_cli.engine.curvature.fallbacks import Fallbacks

MIN_GAP = 1e-10
"""Lower bound for 1 - s₁s₂, where rounding would make A⊗B - C⊗D singular or indefinite."""


def inverse_root(matrix: Tensor, fallbacks: Fallbacks | None = None) -> Tensor:
    """R with R Rᵀ = M⁻¹ for a symmetric positive definite M (d, d); float64.

    From the Cholesky factor M = L Lᵀ as R = L⁻ᵀ. Where rounding has made M indefinite, the
    documented fallback is its eigendecomposition with the spectrum clipped from below at d·eps
    times the largest eigenvalue, and a logged warning. Raises ValueError if M is not finite.
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

    It is the appendix's formula with 1/(1 ± s₁s₂) = 1 ∓ s₁s₂/(1 ± s₁s₂) written out. So only as
    many eigenvectors are needed as X and Y have columns, which is what makes the inverse cheap
    where a wide layer meets a narrow one.

    For sign = -1 its relative error is about eps·cond(A)/(1 - s₁s₂) at the largest s₁s₂, cond(B) if
    that is larger. The products s₁s₂ are clipped, and the event counted, so that 1 - s₁s₂ stays at
    1e-10 or more: the result is then the inverse of a barely definite matrix, finite and positive
    definite itself. For sign = 1 the two terms cancel where s₁s₂ is large; `DiagonalizedInverse`
    has no such weakness.

    `a_root`, `b_root` are R_A, R_B as `inverse_root` gives them; `c_root`, `d_root` are X, Y.
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


def _spectral_part(root: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues s of RᵀXXᵀR and P = R E √s, through the smaller of the two Gram matrices."""
    product = root.T @ other
    if product.shape[0] <= product.shape[1]:
        values, vectors = torch.linalg.eigh(symmetrized(product @ product.T))
        values = values.clamp_min(0)
        return values, root @ (vectors * values.sqrt())
    values, vectors = torch.linalg.eigh(symmetrized(product.T @ product))
    return values.clamp_min(0), root @ (product @ vectors)


class DiagonalizedInverse:
    """(K₁⊗K₂) diag(1/w) (K₁⊗K₂)ᵀ, the inverse of a sum whose two terms K₁⊗K₂ diagonalises.

    `k1` is K₁ (dim A, dim A), `k2` K₂ (dim B, dim B); `first` and `second` (dim B, dim A) are the
    eigenvalues of the terms, w = first + second; `of_sum` and `of_shifted_product` make them. A w
    below (dim A + dim B)·eps times the largest eigenvalue of a term, whose sign is rounding, is set
    to that size, and the event counted.
    """

    def __init__(
        self,
        k1: Tensor,
        k2: Tensor,
        first: Tensor,
        second: Tensor,
        dtype: torch.dtype,
        fallbacks: Fallbacks | None = None,
    ) -> None:
        eigenvalues = first + second
        size, limits = eigenvalues.abs(), torch.finfo(eigenvalues.dtype)
        largest = max(float(first.abs().max()), float(second.abs().max()))
        smallest = max(largest * sum(size.shape) * limits.eps, limits.tiny)
        if float(size.min()) < smallest:
            (fallbacks or Fallbacks()).record(
                "clipped_sums",
                "a sum of Kronecker products is singular: its smallest eigenvalue %.3g "
                "is clipped at %.3g",
                float(size.min()),
                smallest,
            )
            clipped = torch.copysign(eigenvalues.new_tensor(smallest), eigenvalues)
            eigenvalues = torch.where(size < smallest, clipped, eigenvalues)
        self.k1 = k1.to(dtype)
        self.k2 = k2.to(dtype)
        self.weights = eigenvalues.reciprocal().to(dtype)

    @classmethod
    def of_sum(
        cls,
        a: Tensor,
        b: Tensor,
        c: Tensor,
        d: Tensor,
        sign: int,
        fallbacks: Fallbacks | None = None,
    ) -> "DiagonalizedInverse":
        """(A⊗B + sign·C⊗D)⁻¹ for any symmetric positive semi-definite A…D (appendix B).

        The appendix starts from A^(-1/2). Here A and C are diagonalised together through N = A + C,
        scaled to equal traces: K₁ᵀN K₁ = I and K₁ᵀA K₁ = t₁, hence K₁ᵀC K₁ = 1 - t₁; likewise B and
        D; and w = t₁t₂ ± (1 - t₁)(1 - t₂). A + C and B + D must be positive definite, which is no
        restriction: a vector that both A and C map to 0 makes the sum itself singular. So A and B
        may be singular, and the sum, for sign = -1, indefinite.

        Where A and B are well conditioned this is as accurate as the appendix's route. Where they
        are not and C and D fill in, the error stays near eps times the condition of the sum, while
        that route loses the digits of cond(A). Raises ValueError for another sign and for entries
        that are not finite.
        """
        if sign not in (1, -1):
            raise ValueError(f"sign={sign}: must be 1 or -1")
        scales = [_mean_eigenvalue(m) for m in (a, b, c, d)]
        dtype = a.dtype
        a, b, c, d = (
            symmetrized(m.to(torch.float64)) / scale
            for m, scale in zip((a, b, c, d), scales, strict=True)
        )
        t1, k1 = _simultaneously_diagonal(a, c, fallbacks)
        t2, k2 = _simultaneously_diagonal(b, d, fallbacks)
        first = scales[0] * scales[1] * torch.outer(t2, t1)
        second = scales[2] * scales[3] * torch.outer(1 - t2, 1 - t1)
        return cls(k1, k2, first, sign * second, dtype, fallbacks)

    @classmethod
    def of_shifted_product(
        cls, xi: float, c: Tensor, d: Tensor, sign: int, fallbacks: Fallbacks | None = None
    ) -> "DiagonalizedInverse":
        """(ξ I⊗I + sign·C⊗D)⁻¹, the appendix's simpler case: eigenvectors of C and D, w = ξ ± s₁s₂.

        The transformations are orthogonal, so that nothing is lost to the conditions of C and D.
        """
        if sign not in (1, -1):
            raise ValueError(f"sign={sign}: must be 1 or -1")
        s1, e1 = torch.linalg.eigh(_finite(symmetrized(c.to(torch.float64))))
        s2, e2 = torch.linalg.eigh(_finite(symmetrized(d.to(torch.float64))))
        products = torch.outer(s2.clamp_min(0), s1.clamp_min(0))
        return cls(e1, e2, torch.full_like(products, xi), sign * products, c.dtype, fallbacks)

    def multiply(self, matrix: Tensor) -> Tensor:
        """The product with vec(V), V (dim B, dim A), as a matrix of V's shape."""
        middle = (self.k2.T @ matrix @ self.k1).mul_(self.weights)
        return self.k2 @ middle @ self.k1.T


def _simultaneously_diagonal(
    first: Tensor, second: Tensor, fallbacks: Fallbacks | None
) -> tuple[Tensor, Tensor]:
    """t and K with Kᵀ(A + C)K = I and KᵀA K = diag(t), 0 ≤ t ≤ 1."""
    root = inverse_root(first + second, fallbacks)
    values, vectors = torch.linalg.eigh(symmetrized(root.T @ first @ root))
    return values.clamp(0, 1), root @ vectors


def _mean_eigenvalue(matrix: Tensor) -> float:
    """The average eigenvalue of a positive semi-definite matrix; 1 for the zero matrix."""
    mean = float(matrix.diagonal().mean(dtype=torch.float64))
    return mean if mean > 0 else 1.0
