"""The network, data and mini-batch sizes of the study, and the settings of each optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass

from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine.declaration import declared_fields
from kfac_cli.engine.options.baselines import NesterovOptions
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.cost.methods import BASELINE, timed
from kfac_cli.paper.methods import small_problem
from kfac_cli.paper.option_values import batch_sizes, refuse
from kfac_cli.paper.runs import PlannedRun
from kfac_cli.paper.study import Job, Scale

PROBLEM = {
    Scale.FULL: ("dataset=mnist",),
    Scale.SMALL: ("dataset=curves", *small_problem("curves")),
}
"""Unless the user chooses another dataset."""

SIZES = {Scale.FULL: (1000, 5000, 60000), Scale.SMALL: (250, 1000, 5000)}

CHOSEN = ("optimizer", "optimizer.inverse", "experiment", "schedule", "schedule.size")
"""What the study chooses itself."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    job: Job

    def __post_init__(self) -> None:
        refuse(self.job.settings, CHOSEN)

    def sizes(self, dataset: Dataset) -> tuple[int, ...]:
        """The mini-batch sizes; raises UserError for one above the number of training cases."""
        return batch_sizes(self.job.options, SIZES[self.job.scale], len(dataset.train_inputs))

    def config(self, optimizer: str, cases: int) -> RunConfig:
        """The checked settings of an optimizer; raises UserError for wrong ones.

        An option that only the other optimizers have is not for this one.
        """
        own = [word for word in self.job.settings if _concerns(word, optimizer)]
        given = (*self._problem(), "preset=paper", *timed(optimizer, cases), *own)
        return checked(PlannedRun(optimizer, given).words)

    def _problem(self) -> Sequence[str]:
        own = any(word.startswith("dataset=") for word in self.job.settings)
        return () if own else PROBLEM[self.job.scale]


def _concerns(word: str, optimizer: str) -> bool:
    name = word.lstrip("+~").partition("=")[0]
    group, _, option = name.partition(".")
    kfac, baseline = (set(declared_fields(kind)) for kind in (KFACOptions, NesterovOptions))
    if group != "optimizer" or option not in kfac | baseline:
        return True
    return option in (baseline if optimizer == BASELINE else kfac)
