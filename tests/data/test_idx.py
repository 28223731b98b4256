"""dataset=idx: raw IDX files, compressed or not, of every type; one line for any other file."""

import gzip
import struct

import numpy as np
import pytest
import torch

from kfac_cli.config.compose import load_config
from kfac_cli.data.idx import load_idx
from kfac_cli.data.idx_file import read_idx

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 4)).astype("u1")
LABELS = np.arange(12).astype("u1") % 3


def idx(array):
    code = CODES[array.dtype.str.replace("|", "")]
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def save(tmp_path):
    """Writes an IDX file and returns its path."""

    def call(name, array, packed=False):
        path = tmp_path / name
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        return str(path)

    return call


def options(**paths):
    return load_config(["dataset=idx", *(f"dataset.{k}={v}" for k, v in paths.items())]).dataset


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_is_read_with_its_values(save, tmp_path, dtype, packed):
    array = (np.arange(24).reshape(2, 3, 4) - 5 * (dtype != "u1")).astype(dtype)
    save("file", array, packed)
    found = read_idx(tmp_path / "file", "dataset.images")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, array)


def test_images_alone_are_an_autoencoder_problem(save):
    config = options(images=save("images", IMAGES, packed=True))
    assert config.layer_sizes == (12, 1000, 500, 250, 30, 250, 500, 1000, 12)
    assert config.activations == (*["logistic"] * 3, "linear", *["logistic"] * 3)
    assert config.output == "bernoulli"
    dataset = load_idx(config)
    expected = IMAGES.reshape(12, 12).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(dataset.train_inputs.numpy(), expected)
    assert dataset.train_targets is dataset.train_inputs
    assert dataset.test_inputs is dataset.train_inputs
    assert dataset.image_shape == (3, 4)


def test_without_test_images_a_warning_says_that_the_training_cases_are_tested(save, caplog):
    images = save("images", IMAGES)
    load_idx(options(images=images, test_images=images))
    assert caplog.messages == []
    load_idx(options(images=images))
    assert caplog.messages == [
        "dataset.test_images: no test set; test errors will be those of the training cases"
    ]


def test_labels_make_it_a_classification(save):
    config = options(
        images=save("images", IMAGES),
        labels=save("labels", LABELS),
        test_images=save("more", IMAGES[:4]),
        test_labels=save("more_labels", LABELS[:4]),
        train_cases=6,
    )
    assert (config.layer_sizes, config.output) == ((12, 400, 200, 3), "categorical")
    assert config.activations == ("relu", "relu")
    dataset = load_idx(config)
    assert dataset.train_targets.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    assert dataset.test_targets.shape == (4, 3)
    assert dataset.image_shape is None


def test_given_layers_win(save):
    config = options(images=save("images", IMAGES), layer_sizes="[12,5,2,5,12]", output="gaussian")
    assert config.activations == ("logistic", "linear", "logistic")
    assert config.output == "gaussian"


def test_numbers_that_are_no_bytes_are_kept_in_the_precision_of_the_run(save):
    config = options(
        images=save("images", np.random.default_rng(0).normal(size=(5, 4)).astype(">f8"))
    )
    assert config.output == "gaussian"
    assert load_idx(config, "float32").train_inputs.dtype == torch.float32
    assert load_idx(config, "float64").train_inputs.dtype == torch.float64


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is an empty file"),
        (b"a,b\n1,2\n", "it is a table in text, such as CSV"),
        (b"<html></html>", "it is an HTML page"),
        (b"\x93NUMPY\x01\0", "it is a .npy file"),
        (gzip.compress(b"a,b\n", mtime=0), "it is compressed with gzip, but holds no IDX file"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-20], "end-of-stream"),
        (idx(IMAGES)[:9], "its header is cut short"),
        (idx(IMAGES)[:-1], "holds 143 bytes after its header; expected 144"),
        (idx(IMAGES) + b"x", "holds more after its header; expected 144"),
        (struct.pack(">HBBI", 0, 8, 1, 0), "its shape is (0,), without any values"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "cannot be read"),
    ],
)
def test_another_or_a_damaged_file_is_one_line(tmp_path, refusal, content, reason):
    file = tmp_path / "file"
    file.write_bytes(content)
    message = refusal(read_idx, file, "dataset.images")
    assert message.startswith(f"{file}: ")
    assert reason in message
    assert "expected" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"layer_sizes": "[9,2,9]"}, "has shape (12, 3, 4); expected images of 9 pixels"),
        ({"labels": LABELS[:5]}, "has shape (5,); expected (12,), a label for each image"),
        ({"labels": LABELS, "layer_sizes": "[12,2]"}, "2 in row 2 (counted from 0); expected a la"),
        ({"train_cases": 13}, "dataset.train_cases=13: must be at most 12"),
    ],
)
def test_files_that_do_not_fit_are_named(save, refusal, change, reason):
    paths = {k: save(k, v) if isinstance(v, np.ndarray) else v for k, v in change.items()}
    assert reason in refusal(load_idx, options(images=save("images", IMAGES), **paths))


def test_it_runs_from_the_command_line(kfac_run, save, tmp_path):
    save("images.gz", np.tile(IMAGES, (5, 1, 1)), packed=True)
    words = ["dataset=idx", "dataset.images=images.gz", "iterations=3", "tensorboard=false"]
    words += ["optimizer=nesterov_sgd", "schedule.initial=20"]  # no large factors to decompose
    assert kfac_run(*words, "hydra.run.dir=run").code == 0
    assert "layer_sizes:\n  - 12\n  - 1000" in (tmp_path / "run/config.yaml").read_text()
    assert kfac_run("dataset=idx").err == (
        "kfac-run: error: dataset.images: has no value; give one as dataset.images=VALUE\n"
    )
