"""The run whose next update is examined."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from kfac_cli.config.schema import RunConfig
from kfac_cli.config.settings_file import CONFIG_FILE, read_settings
from kfac_cli.config.validation import validate
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import KFAC
from kfac_cli.errors import UserError, shown
from kfac_cli.files import shown_folder, typed_path
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.option_values import RUN, refuse
from kfac_cli.paper.runs import PlannedRun, complete_runs
from kfac_cli.paper.study import RUNS, Job, Scale
from kfac_cli.run.runner import process_for
from kfac_cli.run.session import Session
from kfac_cli.run.starting_point import read_starting_point

FULL = ("experiment=mnist_kfac_tridiag", "iterations=500")
"""The paper's run, whose mini-batches have all training cases from iteration 500 on."""

SMALL = (
    "dataset=curves",
    "dataset.train_cases=1000",
    "dataset.test_cases=100",
    "optimizer=kfac_tridiag",
    "schedule.initial=200",
    "schedule.full_at=60",
    "iterations=60",
    "evaluate_every=30",
    "tensorboard=false",
)
"""The network of CURVES on some of its images."""

MUST_BE = {"optimizer.kind": "kfac", "optimizer.inverse": "block_tridiagonal"}

UNLIMITED = 10**9


@contextmanager
def examined_run(job: Job) -> Iterator[Session]:
    """The state of the run that the option `run` names, or else of a run that is done first.

    Within, the process has the run's threads. Raises UserError for a run that cannot be used, and
    as `complete_runs`.
    """
    if RUN in job.options:
        folder, changes = typed_path(job.options[RUN]), job.settings
    else:
        folder, changes = _done(job), ()
    argument = f"{RUN}={shown(str(shown_folder(folder)))}"
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(f"{argument}: holds no run: it has no {CONFIG_FILE}")
    config = _config(folder, changes)
    _check(config, f" of {argument}")
    with process_for(config, None) as device:
        yield _session(config, device, argument)


def _done(job: Job) -> Path:
    """The folder of the study's own run, once it is done."""
    refuse(job.settings, ())
    words = FULL if job.scale is Scale.FULL else SMALL
    name, settings = "examined", (*words, *job.settings)
    _check(checked(settings))
    complete_runs([PlannedRun(name, settings)], job.folder, job.say)
    return job.folder / RUNS / name


def _session(config: RunConfig, device: torch.device, argument: str) -> Session:
    """The session at the latest checkpoint of the run that the settings start from."""
    point = read_starting_point(config)
    assert point is not None
    data_dir = resolve_data_dir(config.data_dir)
    dataset = load_dataset(config.dataset, data_dir, config.dtype)
    session = point.session(dataset, device)
    optimizer = session.optimizer
    assert isinstance(optimizer, KFAC)
    if optimizer.direction.previous_update is None:
        raise UserError(
            f"{argument}: its last step was rejected, so that there is nothing to build momentum "
            "from; name a run that ends with a step that was taken"
        )
    return session


def _config(folder: Path, changes: Sequence[str]) -> RunConfig:
    """The run's settings with the changes, to start from where it is."""
    settings = OmegaConf.merge(
        read_settings(folder / CONFIG_FILE),
        OmegaConf.from_dotlist(list(changes)),
        {"start_from": str(folder), "iterations": UNLIMITED},
    )
    assert isinstance(settings, DictConfig)
    return validate(settings)


def _check(config: RunConfig, whose: str = "") -> None:
    for setting, wanted in MUST_BE.items():
        found = getattr(config.optimizer, setting.removeprefix("optimizer."), None)
        if found != wanted:
            raise UserError(
                f"{setting}={shown(found)}{whose}: only a run with {setting}={wanted} has the "
                "statistics for both inverses"
            )
