"""How much one update improves h, for many γ, three kinds of update, and both inverses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kfac_cli.engine import KFAC, KFACOptions
from kfac_cli.engine.curvature.factored import FactoredCurvature
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.direction import best_update
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.run.batches import draw_batch
from kfac_cli.run.session import Session

InverseName = Literal["block_tridiagonal", "block_diagonal"]

INVERSES: tuple[InverseName, ...] = ("block_tridiagonal", "block_diagonal")

RAW, RESCALED, MOMENTUM = "raw", "re-scaled", "momentum"
"""δ = Δ (6.3), αΔ (6.4), and αΔ + μδ₀ (7)."""

GAMMAS = tuple(10 ** (exponent / 2) for exponent in range(-10, 7))
"""Two in each decade from 1e-5 to 1000."""


@dataclass(frozen=True)
class Improvement:
    """What one update does: h(θ) - h(θ + δ), and M(0) - M(δ), which the model predicts.

    `alpha` and `mu` are the coefficients of Δ and δ₀; `mu` is None without momentum.
    """

    inverse: str
    update: str
    gamma: float
    improvement: float
    predicted: float
    alpha: float
    mu: float | None


def measure(
    session: Session, gammas: Sequence[float], say: Callable[[str], None]
) -> list[Improvement]:
    """Try every γ on the next mini-batch of a run by K-FAC; h is that of all training cases.

    The state is that of the run when it proposes its next update: θ, the averaged statistics with
    those of the mini-batch, λ, and δ₀, which must not be None. The session is used up.
    """
    optimizer = session.optimizer
    assert isinstance(optimizer, KFAC)
    size = session.schedule.size(session.iteration + 1)
    inputs, targets = draw_batch(session.training, size, session.batches)
    batch = MiniBatch(session.network, optimizer.parameters, inputs, targets, optimizer.chunk_size)
    here = optimizer.linearize(batch)
    optimizer.curvature.update(here.first.statistics, optimizer.iteration + 1)
    assert isinstance(optimizer.curvature, FactoredCurvature)
    factors = optimizer.curvature.known_factors

    everything = MiniBatch(
        session.network, optimizer.parameters, *session.training.all(), optimizer.chunk_size
    )
    l2 = optimizer.options.l2
    before = everything.objective(optimizer.parameters, l2)
    found = []
    for name in INVERSES:
        options = _options(optimizer.options, name)
        curvature = make_curvature(options)
        assert isinstance(curvature, FactoredCurvature)
        curvature.factors, curvature.iteration = factors, optimizer.curvature.iteration
        for gamma in gammas:
            say(f"{name}, γ = {gamma:.3g}")
            [inverse] = curvature.inverses([gamma])
            inverse = inverse.at(here.parameters, here.products)
            for kind in (RAW, RESCALED, MOMENTUM):
                previous = optimizer.direction.previous_update if kind == MOMENTUM else None
                update = best_update(
                    here, [(gamma, inverse)], previous, optimizer.damping, _of(kind, options)
                )
                assert update.change is not None
                after = everything.objective(here.shifted(update.delta), l2)
                found.append(
                    Improvement(
                        name, kind, gamma, before - after, -update.change, update.alpha, update.mu
                    )
                )
    return found


def _options(options: KFACOptions, inverse: InverseName) -> KFACOptions:
    """The options of the run, for one of the inverses; the paper's single step, to M's minimum."""
    solver = options.sigma_solver if inverse == "block_tridiagonal" else "decomposition"
    single = replace(
        options, cg_steps=1, mu=None, alpha_scale=1.0, rescaling=True, learning_rate=1.0
    )
    return replace(single, inverse=inverse, sigma_solver=solver)


def _of(kind: str, options: KFACOptions) -> KFACOptions:
    """The options with which δ is made in one of the three ways."""
    if kind == RAW:
        return replace(options, rescaling=False, learning_rate=1.0, momentum=False)
    return replace(options, rescaling=True, learning_rate=1.0, momentum=kind == MOMENTUM)
