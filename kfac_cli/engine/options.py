"""What the optimizers can be told, with the paper's values as defaults but where it is said."""

import math
from dataclasses import dataclass

from kfac_cli.errors import check_choice

STRUCTURES = ("block_tridiagonal", "block_diagonal")
TIKHONOV = ("factored", "exact")
PI_NORMS = ("trace", "frobenius", "spectral", "one")
SIGMA_SOLVERS = ("decomposition", "doubling")
LAMBDA_RULES = ("levenberg_marquardt", "fixed")
GAMMA_RULES = ("search", "tied", "fixed")
FISHERS = ("sampled", "exact", "empirical")


def check_inverse_options(
    inverse: str,
    *,
    tikhonov: str = "factored",
    pi: str = "trace",
    sigma_solver: str = "decomposition",
) -> None:
    """Raise ValueError, naming the option, for an unknown value or a pair that has no meaning."""
    check_choice("inverse", inverse, STRUCTURES)
    check_choice("tikhonov", tikhonov, TIKHONOV)
    check_choice("pi", pi, PI_NORMS)
    check_choice("sigma_solver", sigma_solver, SIGMA_SOLVERS)
    if tikhonov == "exact" and inverse != "block_diagonal":
        raise ValueError(
            f"tikhonov='exact': needs block_diagonal, not {inverse}, whose exactly damped form "
            "has no efficient inverse"
        )
    if tikhonov == "exact" and pi != "trace":
        raise ValueError(f"pi={pi!r}: exact Tikhonov damping has no π; leave it at 'trace'")
    if sigma_solver != "decomposition" and inverse != "block_tridiagonal":
        raise ValueError(f"sigma_solver={sigma_solver!r}: needs block_tridiagonal, not {inverse}")


@dataclass(frozen=True)
class KFACOptions:
    """Options of K-FAC; the symbols and sections are the paper's.

    Curvature: `inverse` is block_tridiagonal (4.3) or block_diagonal (4.2); `tikhonov` factored
    (eqn 7) or exact (eqn 6); `pi` the norm behind π_i (6.3); `sigma_solver` decomposition or
    doubling (appendix B); `fisher` the targets behind G: sampled, `samples` a case (5), exact or
    empirical; `epsilon_max` the largest ε of the running averages (5).

    Damping: `l2` is η, on all parameters. `lambda_initial` is λ at the start (6.5), 150 in the
    paper, None for the calibration of `calibration.py`; `lambda_rule` levenberg_marquardt or fixed.
    `gamma_initial` is γ at the start (6.6), None for √(λ+η); `gamma_rule` search, fixed, or tied to
    √(λ+η) (6.3). `gamma_min`, `gamma_max` clamp the candidates for γ, None for √η and for no cap.
    `omega1`, `omega2` are the factors of the two rules, None for (19/20)^t1 and (19/20)^(t2/2). A
    step is taken back where the next mini-batch finds that it made h more than `growth_max` times
    as large; the paper has no such rule (None), but mini-batches of a few cases need it. With a
    fixed λ, which rises only where a step is not finite, steps stay.

    Step: `rescaling` by the exact Fisher (6.4), or the raw Δ times `learning_rate`; `momentum` μ
    (7); `cg_steps` of preconditioned CG on M(δ), 1 being the paper's algorithm (6.4).

    Costs: `tau1`, `tau2` are the shares of a mini-batch for the statistics (5) and for the exact
    Fisher (8); `t1`, `t2`, `t3` the periods of the λ rule, the γ search and the inverse;
    `chunk_size` the cases worked on at once, on which the result does not depend.

    Raises ValueError, naming the option, for what has no meaning.
    """

    inverse: str = "block_tridiagonal"
    tikhonov: str = "factored"
    pi: str = "trace"
    sigma_solver: str = "decomposition"
    fisher: str = "sampled"
    samples: int = 1
    epsilon_max: float = 0.95
    l2: float = 1e-5
    lambda_initial: float | None = None
    lambda_rule: str = "levenberg_marquardt"
    gamma_initial: float | None = None
    gamma_rule: str = "search"
    gamma_min: float | None = None
    gamma_max: float | None = 1.0
    omega1: float | None = None
    omega2: float | None = None
    growth_max: float | None = 1.5
    rescaling: bool = True
    learning_rate: float = 1.0
    momentum: bool = True
    cg_steps: int = 1
    tau1: float = 1 / 8
    tau2: float = 1 / 4
    t1: int = 5
    t2: int = 20
    t3: int = 20
    chunk_size: int = 2000

    def __post_init__(self) -> None:
        check_inverse_options(
            self.inverse, tikhonov=self.tikhonov, pi=self.pi, sigma_solver=self.sigma_solver
        )
        check_choice("fisher", self.fisher, FISHERS)
        check_choice("lambda_rule", self.lambda_rule, LAMBDA_RULES)
        check_choice("gamma_rule", self.gamma_rule, GAMMA_RULES)
        if self.gamma_rule == "search" and self.t2 % self.t3 != 0:
            raise ValueError(f"t2={self.t2}: must be a multiple of t3={self.t3} (section 6.6)")
        if self.growth_max is not None and not self.growth_max > 1:
            raise ValueError(f"growth_max={self.growth_max}: must be above 1, or None")
        if not self.rescaling and (self.momentum or self.cg_steps > 1):
            raise ValueError(
                "rescaling=False: a raw update has neither momentum nor further CG steps, which "
                "are defined by the model that re-scales (sections 6.4 and 7)"
            )

    def gamma_at(self, damping: float) -> float:
        """√(λ+η), the γ that belongs to λ (section 6.3)."""
        return math.sqrt(damping + self.l2)

    @property
    def growth_limit(self) -> float | None:
        """By what factor h may grow in a step that stays; None for any."""
        return None if self.lambda_rule == "fixed" else self.growth_max

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
        check_choice("mu_schedule", self.mu_schedule, ("increasing", "fixed"))
