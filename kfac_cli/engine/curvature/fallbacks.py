"""Counts of numerical fallbacks, for a run to report."""

import logging
from dataclasses import dataclass
from typing import Literal

logger = logging.getLogger(__name__)

Kind = Literal["clipped_factors", "clipped_sums", "unconverged_doublings"]


@dataclass
class Fallbacks:
    """How often rounding required a fallback, counted per matrix.

    `clipped_factors`: damped factors that were not positive definite, their spectrum clipped.
    `clipped_sums`: A⊗B ± C⊗D singular to working precision, its eigenvalues clipped away from 0.
    `unconverged_doublings`: Stein equations solved by decompositions because doubling did not
    converge.
    """

    clipped_factors: int = 0
    clipped_sums: int = 0
    unconverged_doublings: int = 0

    def record(self, kind: Kind, message: str, *arguments: object) -> None:
        """Count a fallback; log the first of its kind as a warning, later ones at debug level."""
        count = getattr(self, kind)
        setattr(self, kind, count + 1)
        logger.log(logging.DEBUG if count else logging.WARNING, message, *arguments)
