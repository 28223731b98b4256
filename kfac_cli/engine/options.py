"""The options of the optimizers: every option with its range, default, meaning and source.

The symbols and sections are those of Martens and Grosse (2015), and so are the defaults, but where
the meaning says otherwise. Nothing here needs torch.
"""

import math
from typing import Annotated, ClassVar, Literal

from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import About, BelowOne, Boolean, Count, Fraction, Integer, Number

Activation = Literal["logistic", "tanh", "relu", "linear"]
Output = Literal["bernoulli", "gaussian", "categorical"]
Initialization = Literal["sparse", "glorot", "he"]

CONNECTIONS = 15
"""Incoming weights of a unit in sparse initialisation (Martens 2010)."""

REFRESH_DELAY = 5

LearningRate = Annotated[float, Number(0, 1000, low_open=True)]
Gamma = Annotated[float, Number(0, 1e6, low_open=True)]
Decay = Annotated[float, Number(0, 1, low_open=True, high_open=True)]

L2 = Annotated[
    float,
    Number(0, 1000),
    About("ℓ₂ coefficient: the objective is the mean loss + η/2 ‖θ‖², biases included", "η", "13"),
]
ChunkSize = Annotated[
    Literal["auto"] | Annotated[int, Integer(1, 10**9)],
    About(
        "cases computed at once: bounds the memory and does not change results; auto: by the free "
        "memory of a GPU, 2000 on a CPU"
    ),
]


@options
class OptimizerOptions:
    """Options of every optimizer, which a run sets for whichever it has.

    `STATE` says what an optimizer has learnt besides its parameters. `STRUCTURE` names the options
    that decide which tensors that is: where they differ, it is of no use to another optimizer.
    """

    STATE: ClassVar[str]
    STRUCTURE: ClassVar[tuple[str, ...]] = ()

    l2: L2 = 1e-5
    chunk_size: ChunkSize = "auto"

    def planned_values(self, updates_done: int, planned: int) -> tuple[float, ...]:
        """What an update depends on that depends on the number of updates planned; mostly nothing.

        A run that is resumed with another number continues exactly where these are the same.
        """
        return ()


@options
class KFACOptions(OptimizerOptions):
    """Options of K-FAC, algorithm 2."""

    STATE: ClassVar[str] = "factors, damping, momentum"
    STRUCTURE: ClassVar[tuple[str, ...]] = ("inverse", "tikhonov", "l2_product")

    inverse: Annotated[
        Literal["block_tridiagonal", "block_diagonal", "ekfac", "identity"],
        About(
            "structure of the approximate inverse Fisher; block_diagonal is cheaper; ekfac is "
            "block-diagonal with second moments along the factors' eigenvectors that begin as "
            "K-FAC's at a refresh and are then measured (arXiv:1806.03884); identity has no "
            "curvature: the proposal is minus the gradient",
            "",
            "4",
        ),
    ] = "block_tridiagonal"
    tikhonov: Annotated[
        Literal["factored", "exact"],
        About(
            "damping of the blocks: of each factor, or γ² on a block's diagonal, for "
            "block_diagonal, by eigendecompositions and twice the products",
            "",
            "6.3",
        ),
    ] = "factored"
    pi: Annotated[
        Literal["trace", "frobenius", "spectral", "one"],
        About(
            "norm whose ratio divides γ between the factors of a layer (spectral needs "
            "eigenvalues); one: evenly",
            "π_i",
            "6.3",
        ),
    ] = "trace"
    sigma_solver: Annotated[
        Literal["auto", "decomposition", "doubling"],
        About(
            "how block_tridiagonal inverts Σ: by eigendecompositions, or by matrix products only; "
            "auto: the former on a CPU, the latter on a GPU, where that is faster",
            "",
            "B",
        ),
    ] = "auto"
    l2_product: Annotated[
        Literal["exact", "refreshed"],
        About(
            "product of the inverse with the ℓ₂ term ηθ: exact, or of the last refresh, so that "
            "block_diagonal multiplies small mini-batches' gradients at low rank",
            "",
            "8",
        ),
    ] = "exact"
    fisher: Annotated[
        Literal["sampled", "exact", "empirical"],
        About(
            "targets behind G: sampled from the model; exact, their expectation, by d_l backward "
            "passes; or empirical, the training targets, which gives another matrix",
            "",
            "5",
        ),
    ] = "sampled"
    samples: Annotated[
        int, Integer(1, 1000), About("targets sampled per case, a backward pass each", "", "5")
    ] = 1
    tau1: Annotated[
        Fraction,
        About("fraction of the mini-batch, its first cases, that updates the factors", "τ₁", "8"),
    ] = 1 / 8
    epsilon_max: Annotated[
        BelowOne, About("upper bound of the factors' decay ε = min(1 - 1/k, bound)", "ε", "5")
    ] = 0.95
    t3: Annotated[Count, About("iterations between refreshes of the inverse", "T₃", "8")] = 20
    refresh: Annotated[
        Literal["immediate", "background"],
        About(
            "whether an iteration waits for its new inverse, or a thread computes it beside the "
            "next refresh_delay iterations; the first three wait in any case",
            "",
            "8",
        ),
    ] = "immediate"
    refresh_delay: Annotated[
        Count, About("iterations after which an inverse from the background is used; below T₃")
    ] = REFRESH_DELAY

    lambda_initial: Annotated[
        Literal["auto"] | Annotated[float, Number(0, 1e12, low_open=True)],
        About(
            "λ at the start; auto finds it by trial steps in the first three iterations (the "
            "paper has 150 for every problem)",
            "λ₀",
            "6.5",
        ),
    ] = "auto"
    lambda_rule: Annotated[
        Literal["levenberg_marquardt", "fixed"],
        About("whether λ follows the reduction ratio or stays", "λ", "6.5"),
    ] = "levenberg_marquardt"
    t1: Annotated[Count, About("iterations between adjustments of λ", "T₁", "6.5")] = 5
    omega1: Annotated[
        Decay | None, About("factor by which λ is adjusted; null for (19/20)^T₁", "ω₁", "6.5")
    ] = None

    gamma_initial: Annotated[
        Gamma | None, About("γ at the start; null for √(λ₀ + η)", "γ₀", "6.6")
    ] = None
    gamma_rule: Annotated[
        Literal["search", "tied", "fixed"],
        About("whether γ is searched for, tied to √(λ + η) (6.3), or stays", "γ", "6.6"),
    ] = "search"
    gamma_min: Annotated[
        Annotated[float, Number(0, 1e6)] | None,
        About(
            "lower bound of the γ that are tried, from the companion code; 0 for none, null for √η"
        ),
    ] = None
    gamma_max: Annotated[
        Gamma | None,
        About(
            "upper bound of a larger γ that is tried, from the companion code, so that γ does not "
            "get stuck too high; null for none"
        ),
    ] = 1.0
    t2: Annotated[
        Count,
        About(
            "iterations between searches for γ, each of which makes three inverses; a multiple "
            "of T₃",
            "T₂",
            "6.6",
        ),
    ] = 20
    omega2: Annotated[
        Decay | None, About("step of the search for γ; null for √(19/20)^T₂", "ω₂", "6.6")
    ] = None

    activation_memory: Annotated[
        int,
        Integer(0, 10**9),
        About(
            "MiB for the activations of a mini-batch that stay in memory for products with F; the "
            "others are computed again, with the same result up to rounding"
        ),
    ] = 512
    growth_max: Annotated[
        Annotated[float, Number(1, 1e12, low_open=True)] | None,
        About(
            "not in the paper: a step is reverted, and λ raised tenfold, where the next "
            "mini-batch finds that it made the objective more than this many times as large; "
            "null for never, as with a fixed λ"
        ),
    ] = 1.5
    rescaling: Annotated[
        Boolean,
        About(
            "take α from the exact Fisher; false takes the proposal times learning_rate", "α", "6.4"
        ),
    ] = True
    learning_rate: Annotated[LearningRate, About("step size without re-scaling")] = 1.0
    momentum: Annotated[
        Boolean, About("choose α and μ together; false chooses α alone", "μ", "7")
    ] = True
    coefficients: Annotated[
        Literal["one", "halves"],
        About(
            "one: one α and one μ, the paper's; halves: one of each for the first half of the "
            "layers and for the second, an autoencoder's encoder and decoder; with a single layer "
            "as one"
        ),
    ] = "one"
    cg_steps: Annotated[
        int,
        Integer(1, 1000),
        About(
            "steps of preconditioned conjugate gradients on M(δ); 1 is the paper's algorithm, "
            "each further one takes a product with F and one with the inverse",
            "",
            "6.4",
        ),
    ] = 1
    tau2: Annotated[
        Fraction,
        About(
            "fraction of the mini-batch, its last cases, for products with the exact F: none of "
            "those of τ₁ while τ₁ + τ₂ is at most 1",
            "τ₂",
            "8",
        ),
    ] = 1 / 4

    def __post_init__(self) -> None:
        self._check_ekfac()
        self._check_curvature()
        self._check_identity()
        self._check_damping()
        self._check_update()

    def gamma_at(self, damping: float) -> float:
        """√(λ+η), the γ that belongs to λ (section 6.3)."""
        return math.sqrt(damping + self.l2)

    @property
    def growth_limit(self) -> float | None:
        """By what factor h may grow in a step that stays; None for any."""
        return None if self.lambda_rule == "fixed" else self.growth_max

    @property
    def kept_bytes(self) -> int:
        """`activation_memory` in bytes."""
        return self.activation_memory * 2**20

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

    def _check_curvature(self) -> None:
        if self.tikhonov == "exact" and self.inverse != "block_diagonal":
            reason = "needs {inverse}=block_diagonal; no other has an efficient exact form"
            raise OptionError("tikhonov", "exact", reason)
        if self.tikhonov == "exact" and self.pi != "trace":
            reason = "exact Tikhonov damping has no pi; leave it at trace, or {tikhonov}=factored"
            raise OptionError("pi", self.pi, reason)
        if self.sigma_solver == "doubling" and self.inverse != "block_tridiagonal":
            reason = "needs {inverse}=block_tridiagonal; no other has a Sigma"
            raise OptionError("sigma_solver", self.sigma_solver, reason)
        if self.samples > 1 and self.fisher != "sampled":
            reason = f"needs {{fisher}}=sampled; {self.fisher} samples nothing"
            raise OptionError("samples", self.samples, reason)
        self._check_refresh()
        if self.l2_product == "refreshed":
            self._check_l2_product()

    def _check_l2_product(self) -> None:
        if self.inverse != "block_diagonal" or self.tikhonov != "factored":
            reason = "needs {inverse}=block_diagonal and {tikhonov}=factored"
            raise OptionError("l2_product", self.l2_product, reason)
        if self.l2 == 0:
            raise OptionError("l2_product", self.l2_product, "needs {l2} above 0")

    def _check_refresh(self) -> None:
        if self.refresh == "immediate" and self.refresh_delay != REFRESH_DELAY:
            reason = "needs {refresh}=background; an immediate refresh has no delay"
            raise OptionError("refresh_delay", self.refresh_delay, reason)
        if self.refresh == "background" and self.refresh_delay >= self.t3:
            reason = f"must be less than {{t3}}, which is {self.t3}"
            if self.t3 > 1:
                reason += f"; set {{refresh_delay}}={self.t3 - 1}"
            raise OptionError("refresh_delay", self.refresh_delay, reason)

    def _check_identity(self) -> None:
        """Refuse what could change nothing: F₀ = I has no factors, and γ only scales it."""
        if self.inverse != "identity":
            return
        defaults = {
            **{"pi": "trace", "fisher": "sampled", "samples": 1},
            **{"gamma_rule": "fixed", "refresh": "immediate"},
        }
        for name, value in defaults.items():
            if getattr(self, name) != value:
                reason = f"must be {value} with {{inverse}}=identity, on which it has no effect"
                raise OptionError(name, getattr(self, name), reason)

    def _check_ekfac(self) -> None:
        """Refuse what EKFAC cannot do or does anyway."""
        if self.inverse != "ekfac":
            return
        damping = "ekfac always adds gamma^2 to its diagonal"
        measured = "it measures in the eigenvectors of the present inverse"
        needed = {
            "tikhonov": ("factored", damping),
            "pi": ("trace", damping),
            "refresh": ("immediate", measured),
        }
        for name, (value, why) in needed.items():
            if getattr(self, name) != value:
                reason = f"must be {value} with {{inverse}}=ekfac: {why}"
                raise OptionError(name, getattr(self, name), reason)
        if self.t3 == 1:
            reason = (
                "with {inverse}=ekfac, whose diagonal begins as K-FAC's at each refresh, must be 2 "
                "or more; {inverse}=block_diagonal with {tikhonov}=exact is the same"
            )
            raise OptionError("t3", self.t3, reason)

    def _check_damping(self) -> None:
        if self.gamma_rule != "search":
            return
        if self.t2 % self.t3 != 0:
            raise OptionError("t2", self.t2, f"must be a multiple of {{t3}}, which is {self.t3}")
        if self.gamma_cap < self.gamma_floor:
            source = "sqrt(l2)" if self.gamma_min is None else "{gamma_min}"
            reason = f"must be at least {source}, which is {self.gamma_floor:g}"
            raise OptionError("gamma_max", self.gamma_max, reason)

    def _check_update(self) -> None:
        if self.rescaling:
            if self.learning_rate != 1:
                reason = "needs {rescaling}=false; re-scaling computes alpha instead"
                raise OptionError("learning_rate", self.learning_rate, reason)
            return
        if self.momentum:
            raise OptionError("momentum", True, "must be false with {rescaling}=false")
        if self.coefficients != "one":
            reason = "must be one with {rescaling}=false, which computes no coefficient"
            raise OptionError("coefficients", self.coefficients, reason)
        if self.cg_steps > 1:
            raise OptionError("cg_steps", self.cg_steps, "must be 1 with {rescaling}=false")
