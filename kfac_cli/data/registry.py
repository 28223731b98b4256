"""From a configuration's `dataset` node to tensors."""

from pathlib import Path
from typing import Any

from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.curves import load_curves
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.faces import load_faces
from kfac_cli.data.mnist import load_mnist, load_mnist_labels
from kfac_cli.errors import UserError


def load_dataset(config: Any, data_dir: Path) -> Dataset:
    """The dataset that `config.name` chooses, its files kept in `data_dir`.

    Each loader's module lists the settings that it reads from `config`. Raises UserError for data
    that are missing, damaged or not what `config` says.
    """
    match config.name:
        case "arrays":
            return load_arrays(config)
        case "curves":
            return load_curves(config, data_dir)
        case "faces":
            return load_faces(config, data_dir)
        case "mnist":
            return load_mnist(config, data_dir)
        case "mnist_labels":
            return load_mnist_labels(config, data_dir)
        case unknown:
            raise UserError(
                f"dataset.name={unknown}: must be arrays, curves, faces, mnist or mnist_labels"
            )
