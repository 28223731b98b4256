"""Who is compared: the optimizers of this project and its peers, each with several settings."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

TARGETS = (10.0, 5.0, 3.0, 2.4)
"""Training errors on MNIST, descending; a trial ends at the last one."""

SECONDS = 120.0
"""Optimizer seconds after which a target counts as missed."""

KFAC_CASES, FIRST_ORDER_CASES = 1000, 500
KFAC_JAX = "kfac-jax"

LAMBDAS = (0.01, 0.1, 1.0, 10.0)
RATES = {
    "adam": (5e-4, 1e-3, 2e-3, 4e-3),
    "muon": (1e-3, 3e-3, 1e-2, 3e-2),
    "nesterov_sgd": (5e-3, 1e-2, 2e-2, 4e-2),
}
RATE_SETTING = {"nesterov_sgd": "optimizer.learning_rate", "muon": "optimizer.arguments.lr"}
EXTRA = {"muon": ("optimizer.arguments.weight_decay=0",)}

OURS = {
    "block-tridiagonal": "kfac_tridiag",
    "block-diagonal": "kfac_diag",
}
LONG = "iterations=1000000"
"""So that no schedule of momentum or rate ends within a trial."""


@dataclass(frozen=True)
class Entrant:
    """A peer with one setting: either settings of `kfac-run`, or λ₀ for kfac-jax."""

    peer: str
    setting: str
    settings: tuple[str, ...] = ()
    damping: float | None = None
    cases: int = KFAC_CASES

    @property
    def key(self) -> str:
        """What a result is found by."""
        return f"{self.peer}, {self.setting}"

    def specification(self) -> dict[str, Any]:
        """What a trial is told, as JSON can hold it."""
        return asdict(self)


def entrants() -> Iterator[Entrant]:
    """All of them, this project's first."""
    for name, optimizer in OURS.items():
        chosen = (f"optimizer={optimizer}", LONG)
        fixed = _fixed(KFAC_CASES)
        yield Entrant(f"kfac-run {name}", "the default schedule", chosen)
        yield Entrant(f"kfac-run {name}, m = 1,000", "the default options", (*chosen, *fixed))
    for damping in LAMBDAS:
        yield Entrant(KFAC_JAX, f"λ₀ = {damping:g}", damping=damping)
    for optimizer, rates in RATES.items():
        name = RATE_SETTING.get(optimizer, "optimizer.arguments.lr")
        for rate in rates:
            chosen = (f"optimizer={optimizer}", f"{name}={rate}", *EXTRA.get(optimizer, ()))
            settings = (*chosen, *_fixed(FIRST_ORDER_CASES), LONG)
            yield Entrant(optimizer, f"rate {rate:g}", settings, cases=FIRST_ORDER_CASES)


def _fixed(cases: int) -> tuple[str, ...]:
    return ("schedule=fixed", f"schedule.size={cases}")
