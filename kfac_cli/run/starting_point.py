"""The setting start_from: a new run begins where another one was."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kfac_cli.checkpoint.compatibility import (
    data_difference,
    differing_datasets,
    differing_networks,
    differing_states,
)
from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.folder import CheckpointFolder
from kfac_cli.checkpoint.tree import DamagedFileError, Tree, read_tree
from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine.state_rules import StateError
from kfac_cli.errors import UserError, shown
from kfac_cli.files import shown_folder, typed_path
from kfac_cli.run.best import Best
from kfac_cli.run.saved_run import WRONG_STATE, wrong_version
from kfac_cli.run.session import DTYPES, Session, make_session, to_device


@dataclass(frozen=True)
class StartingPoint:
    """The state of another run, with which a new one starts.

    `name` is its folder or checkpoint, `file` the checkpoint; `obstacles` are the settings for
    which the state of its optimizer cannot be taken over, none if it can.
    """

    config: RunConfig
    name: str
    file: Path
    contents: Contents
    obstacles: tuple[str, ...]

    def session(self, dataset: Dataset, device: torch.device) -> Session:
        """The session with which the run starts; the tensors held here are released.

        Raises UserError if the data are not those of the other run.
        """
        before = self.contents
        other_dtype = before.config.get("dtype") != self.config.dtype
        difference = data_difference(before.data, dataset, rounded=other_dtype)
        if difference is not None:
            others = differing_datasets(before.config, self.config) or ["the same settings"]
            raise UserError(
                f"dataset.name={dataset.name}: not the data of start_from={self.name}: "
                f"{difference}; that run had {', '.join(others)}"
            )
        try:
            dtypes = DTYPES[before.config["dtype"]], DTYPES[self.config.dtype]
            state = to_device(before.session, device, *dtypes)
            session = (self._from_parameters if self.obstacles else self._continued)(
                state, dataset, device
            )
        except StateError as error:
            raise _unusable(self.file, error) from error
        except WRONG_STATE as error:
            raise wrong_version(f"start_from={self.name}", error) from error
        before.session.clear()
        return session

    @property
    def sentence(self) -> str:
        """What the run takes over from the other one, and what it does not."""
        start = f"starting from iteration {self.contents.iteration} of {self.name}"
        holds = self.config.optimizer.STATE
        if not self.obstacles:
            return f"{start}: parameters, average, mini-batches and the optimizer's state ({holds})"
        return (
            f"{start}: parameters, average and mini-batches; the optimizer's state is not taken "
            f"over, that run had {', '.join(self.obstacles)}"
        )

    def _continued(self, state: dict[str, Any], dataset: Dataset, device: torch.device) -> Session:
        """A session with the whole state of the other run, but for its best parameters."""
        session = make_session(self.config, dataset, device, earlier=state["earlier"])
        if not self._same_schedule:
            state = {**state, "schedule": session.schedule.state_dict()}
        session.load_state_dict(state)
        session.origin, session.best = self.contents.iteration, Best()
        return session

    def _from_parameters(
        self, state: dict[str, Any], dataset: Dataset, device: torch.device
    ) -> Session:
        """A session whose optimizer starts from scratch, at the parameters of the other run."""
        iteration = self.contents.iteration
        session = make_session(self.config, dataset, device, iteration, state.get("parameters"))
        names = ["average", "batches", "cases", "rejections"]
        session.check_some(state, [*names, *(["schedule"] if self._same_schedule else [])])
        session.average.load_state_dict(state["average"])
        session.batches.set_state(state["batches"])
        if self._same_schedule:
            session.schedule.load_state_dict(state["schedule"])
        counts = {name: state[name] for name in ("cases", "rejections")}
        return replace(session, origin=iteration, **counts)

    @property
    def _same_schedule(self) -> bool:
        return bool(self.contents.config["schedule.kind"] == self.config.schedule.kind)


def read_starting_point(config: RunConfig) -> StartingPoint | None:
    """What the setting start_from names, read and checked; None without it.

    Raises UserError for a checkpoint that is missing, damaged or of another version, a network of
    other layers, and if there are no iterations left to do; OSError if it cannot be read.
    """
    if config.start_from is None:
        return None
    path = typed_path(config.start_from)
    name = shown(str(shown_folder(path)))
    try:
        tree, file = _read(path, f"start_from={name}")
        contents = Contents.of(tree)
        before: Mapping[str, Any] = contents.config
        others = differing_networks(before, config)
        obstacles = differing_states(before, config)
    except StateError as error:
        raise _unusable(file, error) from error
    except (ValueError, LookupError) as error:
        raise wrong_version(f"start_from={name}", error) from error
    if others:
        own = ", ".join(mine for mine, _ in others)
        theirs = ", ".join(their for _, their in others)
        raise UserError(f"{own}: not the network of start_from={name}, which had {theirs}")
    if config.iterations <= contents.iteration:
        raise UserError(
            f"iterations={config.iterations}: must be larger than {contents.iteration}, at which "
            f"start_from={name} is: iterations are counted from that run's beginning"
        )
    return StartingPoint(config, name, file, contents, tuple(obstacles))


def _unusable(file: Path, error: StateError) -> UserError:
    name = shown(str(shown_folder(file)))
    return UserError(f"start_from={name}: cannot be used: {error}; name another checkpoint")


def _read(path: Path, argument: str) -> tuple[Tree, Path]:
    """The tree in a checkpoint, or in the newest one of a run's folder, and the checkpoint."""
    if path.is_dir():
        checkpoints = CheckpointFolder(path)
        tree = checkpoints.read()
        if tree is None:
            raise UserError(
                f"{argument}: holds no checkpoint; give the folder of a run that kept one (with "
                "checkpoint.keep=0 a run that ends as planned keeps none)"
            )
        return tree, checkpoints.latest_path
    if not path.exists():
        raise UserError(f"{argument}: no such folder or file")
    try:
        return read_tree(path), path
    except DamagedFileError as error:
        raise UserError(f"{argument}: is damaged ({error})") from error
    except OSError as error:
        raise UserError(f"{argument}: cannot be read ({error.strerror})") from error
