"""From a configuration's `dataset` node to tensors."""

from types import SimpleNamespace

import numpy as np
import pytest

from kfac_cli.data import registry
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.registry import load_dataset


@pytest.mark.parametrize("name", ["curves", "faces", "mnist", "mnist_labels"])
def test_the_name_chooses_the_loader(name, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(registry, f"load_{name}", lambda *arguments: calls.append(arguments))
    config = SimpleNamespace(name=name)
    load_dataset(config, tmp_path)
    assert calls == [(config, tmp_path)]


def test_curves_and_arrays_load(tmp_path):
    curves = SimpleNamespace(
        name="curves", train_cases=5, test_cases=4, seed=0, spread=0.2, ink=0.7
    )
    generated = load_dataset(curves, tmp_path)
    assert isinstance(generated, Dataset)
    file = tmp_path / "mine.npz"
    np.savez(file, train_inputs=generated.train_inputs, test_inputs=generated.test_inputs)
    arrays = SimpleNamespace(
        name="arrays",
        file=str(file),
        layer_sizes=(784, 6, 784),
        output="bernoulli",
        image_shape=(28, 28),
    )
    assert load_dataset(arrays, tmp_path).train_inputs.equal(generated.train_inputs)


def test_an_unknown_name_is_refused(tmp_path, refusal):
    message = refusal(load_dataset, SimpleNamespace(name="digits"), tmp_path)
    assert message == "dataset.name=digits: must be arrays, curves, faces, mnist or mnist_labels"
