"""The device of each of the processes that share a run."""

import os

import torch

from kfac_cli.errors import UserError, counted
from kfac_cli.run.launched import launched, local_rank
from kfac_cli.run.session import choose_device


def process_device(setting: str, turn: int | None = None) -> torch.device:
    """The device of this process: as `choose_device`, but a GPU for each if there are several.

    Raises UserError if there are fewer GPUs than processes on this machine, or only one is named.
    """
    if not launched():
        return choose_device(setting, turn)
    device = choose_device(setting, local_rank())
    if device.type == "cuda":
        count, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
        if setting.startswith("cuda:"):
            raise UserError(f"device={setting}: each process needs its own GPU; use device=cuda")
        if count > gpus:
            found = counted(gpus, "GPU")
            raise UserError(
                f"device={setting}: {count} processes, but {found} here; start {gpus}, or set "
                "device=cpu"
            )
        torch.cuda.set_device(device)
    return device
