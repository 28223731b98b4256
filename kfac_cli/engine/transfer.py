"""Numbers that leave the device, in one transfer: where a step waits for a GPU.

Besides, only new inverses wait, for their factorisations.
"""

import torch
from torch import Tensor


def fetch(*values: Tensor) -> list[Tensor]:
    """The values, tensors of any shapes on one device, in float64 on the host: in one transfer.

    Each call makes the host wait until the device has computed them.
    """
    flat = torch.cat([value.reshape(-1).to(torch.float64) for value in values])
    parts = torch.split(flat.cpu(), [value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def fetch_numbers(*values: Tensor) -> list[float]:
    """0-dim tensors on one device as numbers, in one transfer."""
    return [float(value) for value in fetch(*values)]
