"""The tasks of a job that submitit has started, on Slurm or here, as processes that share a run."""

import sys
from typing import Any


def submitted() -> bool:
    """Whether submitit started this process."""
    return _environment() is not None


def export_task() -> bool:
    """Whether this is one of several tasks of a job.

    Then the environment variables say which one, as torchrun would.
    """
    environment = _environment()
    if environment is None or environment.num_tasks == 1:
        return False
    distributed = sys.modules["submitit"].helpers.TorchDistributedEnvironment()
    distributed.export(set_cuda_visible_devices=False)
    return True


def _environment() -> Any:
    """What submitit says of the task that it started here; None if it started none."""
    submitit = sys.modules.get("submitit")  # it has unpickled the job
    try:
        return None if submitit is None else submitit.JobEnvironment()
    except RuntimeError:
        return None
