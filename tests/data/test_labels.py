"""Class labels in the user's arrays: what is accepted, and the message for each error."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.dataset import one_hot

CLASSES = 3
INPUTS = np.random.default_rng(0).random((5, 4), dtype=np.float32)
LABELS = np.array([2, 0, 1, 1, 2])
ROWS = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)


@pytest.fixture
def load(tmp_path):
    """Loads INPUTS with the given training targets, and with LABELS to test on."""

    def call(targets, output="categorical"):
        file = tmp_path / "mine.npz"
        parts = {"train_targets": targets, "test_targets": LABELS}
        parts = parts if targets is not None else {}
        np.savez(file, train_inputs=INPUTS, test_inputs=INPUTS, **parts)
        return load_arrays(
            SimpleNamespace(
                file=str(file), layer_sizes=(4, 6, CLASSES), output=output, image_shape=None
            )
        )

    return call


def test_labels_become_rows_with_a_single_one():
    np.testing.assert_array_equal(one_hot(LABELS, CLASSES), ROWS)
    assert one_hot(LABELS, CLASSES).dtype == np.float32
    assert one_hot(LABELS, 5).shape == (5, 5)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int64", ">i4", "uint64", "float32", "float64"]
)
def test_labels_of_any_kind_of_number(load, dtype):
    dataset = load(LABELS.astype(dtype))
    assert dataset.train_targets.dtype == torch.float32
    np.testing.assert_array_equal(dataset.train_targets.numpy(), ROWS)
    np.testing.assert_array_equal(dataset.test_targets.numpy(), ROWS)
    np.testing.assert_array_equal(dataset.train_inputs.numpy(), INPUTS)
    assert dataset.image_shape is None


def test_true_and_false_are_labels_too(load):
    expected = one_hot(np.array([1, 0, 1, 1, 0]), CLASSES)
    truths = np.array([True, False, True, True, False])
    np.testing.assert_array_equal(load(truths).train_targets.numpy(), expected)


def test_rows_of_class_probabilities(load):
    rows = (ROWS + 0.25) / 1.75
    np.testing.assert_array_equal(load(rows).train_targets.numpy(), rows.astype(np.float32))
    load((rows + 1e-5).astype(np.float16))  # whose sums are rounded


LABEL = "(counted from 0); expected a label, a whole number from 0 to 2; 3 classes is what"


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (np.array([0, 1, 2, 3, 0]), f"3 in row 3 {LABEL}"),
        (np.array([0, -1, 2, 2, 0]), f"-1 in row 1 {LABEL}"),
        (np.array([0, 1, 0.5, 2, 0]), f"0.5 in row 2 {LABEL}"),
        (np.array([0, np.nan, 2, 2, 0]), f"nan in row 1 {LABEL}"),
        (np.array([np.inf, 1, 2, 2, 0]), f"inf in row 0 {LABEL}"),
        (np.array([0, 2**63, 2, 2, 0], dtype=np.uint64), f"{2**63} in row 1 {LABEL}"),
        (np.array(list("abcab")), "has dtype <U1; expected real numbers"),
        (LABELS[:4], "has 4 cases; expected 5, as in"),
        (LABELS[:0], "has shape (0,); expected (cases, 3) or labels (cases,), with"),
        (LABELS[:, None], "has shape (5, 1); expected (cases, 3) or labels (cases,), with"),
        (ROWS[:, :2], "has shape (5, 2); expected (cases, 3) or labels (cases,), with"),
        (ROWS - 0.5, "-0.5 in row 0, column 0 (counted from 0); expected a class probability"),
        (2 * ROWS, "row 0 (counted from 0) sums to 2; expected class probabilities"),
        (np.where(ROWS[:1], np.nan, ROWS), "nan in row 0, column 2"),
    ],
)
def test_targets_that_are_no_classes(load, refusal, targets, reason):
    message = refusal(load, targets)
    assert reason in message
    assert "mine.npz: train_targets: " in message


def test_classes_need_targets(load, refusal):
    message = refusal(load, None)
    assert "has no train_targets, which dataset.output=categorical" in message


def test_labels_for_another_output_are_refused_with_advice(load, refusal):
    message = refusal(load, LABELS, "gaussian")
    assert "has shape (5,)" in message
    assert "labels (cases,) for dataset.output=categorical" in message
