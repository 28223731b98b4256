"""Waiting for a device."""

import torch


def wait_for(device: str) -> None:
    """Return when the device has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
