"""The common form of the datasets."""

import hashlib

import numpy as np
import torch

from kfac_cli.data import dataset as module
from kfac_cli.data.dataset import Dataset


def test_the_fingerprint_is_computed_once(monkeypatch):
    calls = []
    sha256 = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda *a: calls.append(a) or sha256(*a))
    cases = np.random.default_rng(0).random((9, 4), dtype=np.float32)
    dataset = Dataset.autoencoder("arrays", cases, cases[:2], None)
    first = dataset.fingerprint
    assert dataset.fingerprint is first
    assert len(calls) == 2  # of the training and of the test cases
    assert first["train_targets"] == {
        "shape": [9, 4],
        "sha256": hashlib.sha256(cases.tobytes()).hexdigest(),
    }


def test_the_fingerprint_of_float64_has_the_checksum_of_the_rounded_values_too():
    cases = torch.rand(5000, 2, dtype=torch.float64)  # more than are converted at once
    dataset = Dataset("arrays", cases, cases, cases, cases, None)
    single = dataset.fingerprint["train_inputs"]["sha256_float32"]
    assert single == hashlib.sha256(cases.float().numpy().tobytes()).hexdigest()
