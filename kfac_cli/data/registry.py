"""The datasets: the options of each, and how it is loaded.

To add one, write its options and its loader, a function that calls it, and a line in DATASETS.
Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kfac_cli.data.base_options import DatasetOptions, Report, silent
from kfac_cli.data.options import (
    ArraysOptions,
    CurvesOptions,
    FacesOptions,
    IdxOptions,
    MnistLabelsOptions,
    MnistOptions,
)

if TYPE_CHECKING:
    from kfac_cli.data.dataset import Dataset


class Source(NamedTuple):
    """What a dataset is loaded from.

    `data_dir` is the folder of public data files, `dtype` the precision of the run, "float32" or
    "float64". `report` is told what is being done, how much of it is done, and how much it is.
    """

    options: Any
    data_dir: Path
    dtype: str
    report: Report


def load_dataset(
    options: DatasetOptions, data_dir: Path, dtype: str = "float32", report: Report = silent
) -> Dataset:
    """The dataset that the options describe, with its public files in `data_dir`.

    `report` is called while one is generated. Values keep their precision up to `dtype`. Raises
    UserError for data that are missing, damaged or do not match the options.
    """
    return DATASETS[type(options)](Source(options, data_dir, dtype, report))


def _curves(source: Source) -> Dataset:
    from kfac_cli.data.curves import load_curves

    return load_curves(source.options, source.data_dir, source.report)


def _mnist(source: Source) -> Dataset:
    from kfac_cli.data.mnist import load_mnist

    return load_mnist(source.options, source.data_dir)


def _mnist_labels(source: Source) -> Dataset:
    from kfac_cli.data.mnist import load_mnist_labels

    return load_mnist_labels(source.options, source.data_dir)


def _faces(source: Source) -> Dataset:
    from kfac_cli.data.faces import load_faces

    return load_faces(source.options, source.data_dir, source.report)


def _arrays(source: Source) -> Dataset:
    from kfac_cli.data.arrays import load_arrays

    return load_arrays(source.options, source.dtype)


def _idx(source: Source) -> Dataset:
    from kfac_cli.data.idx import load_idx

    return load_idx(source.options, source.dtype)


DATASETS: dict[type[DatasetOptions], Callable[[Source], Dataset]] = {
    CurvesOptions: _curves,
    MnistOptions: _mnist,
    MnistLabelsOptions: _mnist_labels,
    FacesOptions: _faces,
    ArraysOptions: _arrays,
    IdxOptions: _idx,
}
"""All datasets, each chosen by the `name` in its options."""
