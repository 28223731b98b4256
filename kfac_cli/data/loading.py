"""From a configuration's `dataset` node to tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.curves import load_curves
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.faces import load_faces
from kfac_cli.data.mnist import load_mnist
from kfac_cli.errors import UserError

LOADERS: dict[str, Callable[[Any, Path], Dataset]] = {
    "arrays": load_arrays,
    "curves": load_curves,
    "faces": load_faces,
    "mnist": load_mnist,
}


class DatasetConfig(Protocol):
    """What chooses the loader; the loader's module says which other settings it reads."""

    @property
    def name(self) -> str: ...


def load_dataset(config: DatasetConfig, data_dir: Path) -> Dataset:
    """The dataset that `config` names, its files kept in `data_dir`.

    Raises UserError for data that are missing, damaged or not what `config` says.
    """
    if config.name not in LOADERS:
        raise UserError(f"dataset.name={config.name}: must be one of {', '.join(LOADERS)}")
    return LOADERS[config.name](config, data_dir)
