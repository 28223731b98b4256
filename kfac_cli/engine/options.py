"""What the optimizers can be told, with the paper's values as defaults."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class KFACOptions:
    """Options of K-FAC; the symbols and sections are the paper's.

    inverse: `block_tridiagonal` (4.3) or `block_diagonal` (4.2). l2: η, on all parameters.
    lambda_initial: λ at the start (6.5). gamma_initial: γ at the start (6.6), None for √(λ+η).
    gamma_min, gamma_max: clamps of γ's candidates, None for √η and for no cap. tau1, tau2: the
    shares of a mini-batch for the statistics (5) and for the exact Fisher (8). t1, t2, t3: periods
    of the λ rule, the γ search and the inverse. omega1, omega2: factors of the two rules, None for
    (19/20)^t1 and (19/20)^(t2/2). epsilon_max: largest ε of the running averages (5). momentum: μ
    (7) on or off. chunk_size: cases worked on at once; the result does not depend on it.
    """

    inverse: str = "block_tridiagonal"
    l2: float = 1e-5
    lambda_initial: float = 150.0
    gamma_initial: float | None = None
    gamma_min: float | None = None
    gamma_max: float | None = 1.0
    tau1: float = 1 / 8
    tau2: float = 1 / 4
    t1: int = 5
    t2: int = 20
    t3: int = 20
    omega1: float | None = None
    omega2: float | None = None
    epsilon_max: float = 0.95
    momentum: bool = True
    chunk_size: int = 2000

    def __post_init__(self) -> None:
        if self.inverse not in ("block_tridiagonal", "block_diagonal"):
            raise ValueError(f"inverse={self.inverse!r}: block_tridiagonal or block_diagonal")
        if self.t2 % self.t3 != 0:
            raise ValueError(f"t2={self.t2}: must be a multiple of t3={self.t3} (section 6.6)")

    @property
    def start_gamma(self) -> float:
        """γ at the first iteration."""
        if self.gamma_initial is not None:
            return self.gamma_initial
        return math.sqrt(self.lambda_initial + self.l2)

    @property
    def gamma_floor(self) -> float:
        """The smallest candidate for γ."""
        return math.sqrt(self.l2) if self.gamma_min is None else self.gamma_min

    @property
    def gamma_cap(self) -> float:
        """The largest candidate for γ."""
        return math.inf if self.gamma_max is None else self.gamma_max

    @property
    def lambda_factor(self) -> float:
        """ω₁."""
        return (19 / 20) ** self.t1 if self.omega1 is None else self.omega1

    @property
    def gamma_factor(self) -> float:
        """ω₂."""
        return (19 / 20) ** (self.t2 / 2) if self.omega2 is None else self.omega2


@dataclass(frozen=True)
class NesterovOptions:
    """Options of SGD with Nesterov momentum (Sutskever et al. 2013, section 2).

    learning_rate: ε. mu_max: the largest μ. mu_schedule: `increasing`, μ_t = min(1 - 2^(-1 -
    log₂(⌊t/250⌋+1)), mu_max), or `fixed`, μ_t = mu_max. mu_final: μ in the last
    `final_iterations` of `iterations` updates (0 for never). l2: η. chunk_size: as for K-FAC.
    """

    learning_rate: float = 0.01
    mu_max: float = 0.99
    mu_schedule: str = "increasing"
    mu_final: float = 0.9
    final_iterations: int = 1000
    iterations: int = 20000
    l2: float = 1e-5
    chunk_size: int = 2000

    def __post_init__(self) -> None:
        if self.mu_schedule not in ("increasing", "fixed"):
            raise ValueError(f"mu_schedule={self.mu_schedule!r}: increasing or fixed")
