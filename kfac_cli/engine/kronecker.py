"""Inverses of small factors and of sums of Kronecker products (appendix B).

The factorisations run in float64: at the small γ of late training the factors' condition numbers
leave float32 no correct digits. Products with the results run in the dtype of the parameters.
"""

import logging

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

SMALLEST_GAP = 1e-10
"""Lower bound for 1 - s₁s₂, where rounding would make A⊗B - C⊗D singular or indefinite."""


def inverse_root(matrix: Tensor) -> Tensor:
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
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("a curvature factor has entries that are not finite")
    values, vectors = torch.linalg.eigh(matrix)
    largest = max(float(values[-1]), torch.finfo(matrix.dtype).tiny)
    smallest = matrix.shape[0] * torch.finfo(matrix.dtype).eps * largest
    logger.warning(
        "a %d x %d curvature factor is not positive definite (smallest eigenvalue %.3g): "
        "its spectrum is clipped at %.3g",
        *matrix.shape,
        float(values[0]),
        smallest,
    )
    clipped: Tensor = vectors * values.clamp_min(smallest).rsqrt()
    return clipped


def symmetrized(matrix: Tensor) -> Tensor:
    """(M + Mᵀ)/2, since eigensolvers read one triangle only."""
    return (matrix + matrix.T) / 2


class KroneckerSumInverse:
    """(A⊗B + sign·C⊗D)⁻¹ for symmetric positive (semi-)definite factors (appendix B).

    With A⁻¹ = R_A R_Aᵀ, B⁻¹ = R_B R_Bᵀ, C = X Xᵀ and D = Y Yᵀ, the matrices R_AᵀC R_A and
    R_BᵀD R_B have eigenvectors E and eigenvalues s, and

        (A⊗B ± C⊗D)⁻¹ = A⁻¹⊗B⁻¹ ∓ (P₁⊗P₂) diag(1 / (1 ± s₁s₂)) (P₁⊗P₂)ᵀ,  P = R E √s.

    It is the appendix's formula with 1/(1 ± s₁s₂) = 1 ∓ s₁s₂/(1 ± s₁s₂) written out. So only as
    many eigenvectors are needed as X and Y have columns, which is what makes the inverse cheap
    where a wide layer meets a narrow one. For sign = -1 the products s₁s₂ are clipped so that
    1 - s₁s₂ stays at 1e-10 or more.

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
    ) -> None:
        s1, p1 = _spectral_part(a_root, c_root)
        s2, p2 = _spectral_part(b_root, d_root)
        gap = (1 + sign * torch.outer(s2, s1)).clamp_min(SMALLEST_GAP)
        self.a_inverse = (a_root @ a_root.T).to(dtype)
        self.b_inverse = (b_root @ b_root.T).to(dtype)
        self.p1 = p1.to(dtype)
        self.p2 = p2.to(dtype)
        self.weights = (-sign / gap).to(dtype)

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
