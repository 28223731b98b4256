"""Loading a dataset from its options."""

import numpy as np
import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.data import registry
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.registry import load_dataset


def options(*overrides):
    return load_config(overrides).dataset


@pytest.mark.parametrize("name", ["curves", "faces", "mnist", "mnist_labels"])
def test_the_name_chooses_the_loader(name, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(registry, f"load_{name}", lambda *arguments: calls.append(arguments))
    config = options(f"dataset={name}")
    load_dataset(config, tmp_path)
    assert calls == [(config, tmp_path)]


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
