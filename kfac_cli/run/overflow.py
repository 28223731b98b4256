"""Data whose losses overflow the precision of a run, whatever the parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import PARTS, ROWS_AT_ONCE, Dataset
from kfac_cli.engine.chunks import chunk_size_for
from kfac_cli.errors import UserError
from kfac_cli.run.session import DTYPES, Session


def refuse_overflow(config: RunConfig, dataset: Dataset, device: torch.device) -> None:
    """Raise UserError for Gaussian targets whose squared errors overflow at outputs of zero.

    The sums over the `chunk_size` cases with the largest squares must be within the run's dtype.
    """
    if config.dataset.output != "gaussian":
        return
    dtype = DTYPES[config.dtype]
    like = torch.empty(0, device=device, dtype=dtype)
    chunk_size = chunk_size_for(config.chunk_size, config.dataset.layer_sizes, like)
    limit = torch.finfo(dtype).max
    for name in ("train_targets", "test_targets"):
        targets: Tensor = getattr(dataset, name)
        together = min(chunk_size, len(targets))
        largest = max(abs(float(value)) for value in targets.aminmax())
        if largest * largest * targets.shape[1] * together <= limit:
            continue
        rows = torch.split(targets, ROWS_AT_ONCE)
        squares = torch.cat([part.double().square().sum(1) for part in rows])
        if not float(squares.topk(together).values.sum()) <= limit:
            other = ", or use dtype=float64" if config.dtype == "float32" else ""
            raise UserError(
                f"dataset: row {int(squares.argmax())} of {name} (counted from 0) has values up to "
                f"{largest:.3g}, whose squared error overflows {config.dtype}; divide the targets "
                f"by a constant{other}"
            )


def extreme_case(session: Session, parts: Sequence[str] = PARTS) -> str | None:
    """The first case whose sum of squares overflows the run's dtype, in words; None without one.

    Such a case in one of these `parts` makes errors and losses infinite for all parameters.
    """
    dtype = session.optimizer.parameters[0].dtype
    for name in parts:
        cases: Tensor = getattr(session.dataset, name)
        squares = cases.to(dtype).square().sum(1)
        if not bool(torch.isfinite(squares).all()):
            row = int(torch.isfinite(squares).logical_not().nonzero()[0])
            largest = float(cases[row].abs().max())
            return f"row {row} of {name} (counted from 0) has values up to {largest:.3g}"
    return None
