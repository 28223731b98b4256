"""The registry of the datasets, and loading each from its options."""

import numpy as np
import pytest

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import RunConfig
from kfac_cli.data import curves, faces, mnist
from kfac_cli.data.base_options import AutoencoderOptions, DatasetOptions
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.registry import DATASETS, load_dataset
from kfac_cli.engine.declaration import declared_fields, variants

LOADERS = {"curves": curves, "faces": faces, "mnist": mnist, "mnist_labels": mnist}


def options(*overrides):
    return load_config(overrides).dataset


def subclasses(kind):
    for inner in kind.__subclasses__():
        yield inner
        yield from subclasses(inner)


def test_no_options_of_a_dataset_are_forgotten():
    assert set(subclasses(DatasetOptions)) - {AutoencoderOptions} == set(DATASETS)


def test_every_registered_dataset_can_be_chosen():
    chosen = dict(variants(declared_fields(RunConfig)["dataset"]))
    assert set(chosen.values()) == set(DATASETS)
    assert chosen.keys() <= set(choices("dataset"))


@pytest.mark.parametrize("kind", DATASETS)
def test_every_dataset_has_a_folder_and_the_side_of_its_images(kind):
    assert kind.FOLDER is None or isinstance(kind.FOLDER, str)
    assert kind.__doc__ not in (DatasetOptions.__doc__, AutoencoderOptions.__doc__)
    if issubclass(kind, AutoencoderOptions):
        assert kind.SIDE > 0


@pytest.mark.parametrize("name", LOADERS)
def test_the_name_chooses_the_loader(name, tmp_path, monkeypatch):
    calls = []
    loader = f"load_{name}"
    monkeypatch.setattr(LOADERS[name], loader, lambda *arguments: calls.append(arguments))
    config = options(f"dataset={name}")
    load_dataset(config, tmp_path)
    [call] = calls
    assert call[:2] == (config, tmp_path)


def test_curves_and_arrays_load(tmp_path):
    curves = options("dataset.train_cases=5", "dataset.test_cases=4")
    generated = load_dataset(curves, tmp_path)
    assert isinstance(generated, Dataset)
    file = tmp_path / "mine.npz"
    np.savez(file, train_inputs=generated.train_inputs, test_inputs=generated.test_inputs)
    arrays = options(
        "dataset=arrays",
        f"dataset.file={file}",
        "dataset.layer_sizes=[784,6,784]",
        "dataset.activations=[linear]",
        "dataset.output=bernoulli",
        "dataset.image_shape=[28,28]",
    )
    assert load_dataset(arrays, tmp_path).train_inputs.equal(generated.train_inputs)
