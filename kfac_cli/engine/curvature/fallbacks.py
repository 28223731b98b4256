"""Numerical fallbacks, counted so that a run can report them."""

import logging
from dataclasses import dataclass
from typing import Literal

logger = logging.getLogger(__name__)

Kind = Literal["clipped_factors", "clipped_sums", "unconverged_doublings"]


@dataclass
class Fallbacks:
    """How often rounding forced a computation off its usual path; each is counted per matrix.

    `clipped_factors`: damped factors that were not positive definite, their spectrum clipped.
    `clipped_sums`: A⊗B ± C⊗D singular to working precision, its eigenvalues clipped away from 0.
    `unconverged_doublings`: Stein equations solved by decompositions since doubling did not
    converge. `dataclasses.asdict` makes plain numbers of it for a summary or a checkpoint.
    """

    clipped_factors: int = 0
    clipped_sums: int = 0
    unconverged_doublings: int = 0

    def record(self, kind: Kind, message: str, *arguments: object) -> None:
        """Count one; the first of a kind is logged as a warning, later ones for debugging only."""
        count = getattr(self, kind)
        setattr(self, kind, count + 1)
        logger.log(logging.DEBUG if count else logging.WARNING, message, *arguments)
