"""K-FAC's options of the curvature: what it is measured from, its structure, and its refreshes.

The symbols and sections are those of Martens and Grosse (2015), and so are the defaults, but where
the meaning says otherwise.
"""

from typing import Annotated, Literal

from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import About, BelowOne, Count, Fraction, Integer
from kfac_cli.engine.options.common import OptimizerOptions

FIRST_ITERATIONS = 3
"""How many first iterations make a new inverse each in algorithm 2."""

FIRST_WITH_EXACT = 6
"""How many do so with exact_first."""

EXACT_ITERATIONS = 2
"""How many of these have exact Tikhonov damping."""

REFRESH_DELAY = 5


def first_iterations(tikhonov: object, inverse: object) -> int:
    """How many first iterations make a new inverse each with these options.

    With exact_first they are more: where the exact damping leads, factored damping needs a λ that
    is smaller by orders of magnitude, which the rule of section 6.5 would not reach soon.
    """
    exact_first = tikhonov == "exact_first" and inverse != "identity"
    return FIRST_WITH_EXACT if exact_first else FIRST_ITERATIONS


@options
class CurvatureOptions(OptimizerOptions):
    """The options of K-FAC's approximate inverse Fisher."""

    inverse: Annotated[
        Literal["block_tridiagonal", "block_diagonal", "ekfac", "identity"],
        About(
            "structure of the approximate inverse Fisher; block_diagonal is cheaper; ekfac is "
            "block-diagonal with second moments along the factors' eigenvectors that begin as "
            "K-FAC's at a refresh and are then measured, from the fourth iteration on "
            "(arXiv:1806.03884); identity has no curvature: the proposal is minus the gradient",
            "",
            "4",
        ),
    ] = "block_tridiagonal"
    tikhonov: Annotated[
        Literal["factored", "exact", "exact_first"],
        About(
            "damping of the blocks: factored, as in the paper; exact: γ² on their diagonals, for "
            "block_diagonal, by eigendecompositions and twice the products; exact_first: exact in "
            "the first two iterations, with any inverse, then factored; each of the first six "
            "makes a new inverse and, on 512 cases or more, calibrates λ. ekfac has γ² on its own "
            "diagonal from the fourth on",
            "",
            "6.3",
        ),
    ] = "exact_first"
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
            "next refresh_delay iterations; the first ones wait in any case",
            "",
            "8",
        ),
    ] = "immediate"
    refresh_delay: Annotated[
        Count, About("iterations after which an inverse from the background is used; below T₃")
    ] = REFRESH_DELAY

    @property
    def first_iterations(self) -> int:
        """How many first iterations make a new inverse each and, on many cases, calibrate λ."""
        return first_iterations(self.tikhonov, self.inverse)

    def _check_ekfac(self) -> None:
        """Refuse what EKFAC cannot do or does anyway."""
        if self.inverse != "ekfac":
            return
        damping = "after three iterations ekfac adds gamma^2 to its diagonal"
        measured = "it measures in the eigenvectors of the present inverse"
        needed = {
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
        if self.inverse != "block_diagonal" or self.tikhonov == "exact":
            reason = "needs {inverse}=block_diagonal, without {tikhonov}=exact"
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
