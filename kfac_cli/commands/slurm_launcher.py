"""Launchers for the jobs of a sweep, each of which may take several processes.

The tasks of a job are these processes: the first one runs the job, and the others follow it.
"""

from collections.abc import Callable
from typing import Any

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher, SlurmLauncher


class ProcessesSlurmLauncher(SlurmLauncher):  # type: ignore[misc]
    """The launcher of `hydra/launcher=slurm`, with `tasks_per_node` processes on each node."""

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run a job, as one of its tasks."""
        return _as_task(lambda: super(ProcessesSlurmLauncher, self).__call__(*arguments))


class ProcessesLocalLauncher(LocalLauncher):  # type: ignore[misc]
    """The same on this machine."""

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run a job, as one of its tasks."""
        return _as_task(lambda: super(ProcessesLocalLauncher, self).__call__(*arguments))


def _as_task(job: Callable[[], JobReturn]) -> JobReturn:
    import submitit

    if submitit.JobEnvironment().num_tasks == 1:
        return job()
    # As torchrun does, it says by environment variables which of how many processes this is.
    submitit.helpers.TorchDistributedEnvironment().export()
    from kfac_cli.run.follower import follow
    from kfac_cli.run.launched import rank
    from kfac_cli.run.leader import leading

    if rank() > 0:
        follow("kfac-run")
        return JobReturn()  # the first task's counts
    with leading():
        return job()
