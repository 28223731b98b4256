"""Loading a dataset from its options."""

from pathlib import Path

from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.curves import load_curves
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.faces import load_faces
from kfac_cli.data.mnist import load_mnist, load_mnist_labels
from kfac_cli.data.options import (
    ArraysOptions,
    CurvesOptions,
    DatasetOptions,
    FacesOptions,
    MnistLabelsOptions,
    MnistOptions,
)


def load_dataset(config: DatasetOptions, data_dir: Path) -> Dataset:
    """The dataset that the options describe, with its files in `data_dir`.

    Raises UserError for data that are missing, damaged or do not match the options.
    """
    match config:
        case ArraysOptions():
            return load_arrays(config)
        case CurvesOptions():
            return load_curves(config, data_dir)
        case FacesOptions():
            return load_faces(config, data_dir)
        case MnistOptions():
            return load_mnist(config, data_dir)
        case MnistLabelsOptions():
            return load_mnist_labels(config, data_dir)
