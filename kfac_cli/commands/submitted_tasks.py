"""The tasks of a job that submitit has started, on Slurm or here, as processes that share a run."""

import sys


def export_task() -> bool:
    """Whether this is one of several tasks of a job.

    Then the environment variables say which one, as torchrun would.
    """
    submitit = sys.modules.get("submitit")  # it has unpickled the job
    if submitit is None:
        return False
    try:
        several = bool(submitit.JobEnvironment().num_tasks > 1)
    except RuntimeError:  # it did not start this process
        return False
    if several:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    return several
