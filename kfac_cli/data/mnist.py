"""MNIST: the four canonical files, as torchvision downloads them, packed or unpacked."""

import contextlib
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.dataset import Dataset, intensities, leading, one_hot
from kfac_cli.data.download import ensure_downloaded
from kfac_cli.data.idx_file import parse_idx, unpacked
from kfac_cli.data.options import DIGITS, MnistLabelsOptions, MnistOptions
from kfac_cli.errors import UserError
from kfac_cli.files import open_file

SIDE = MnistOptions.SIDE
PACKED = ".gz"
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Checksums of the unpacked contents: the packed ones depend on the program that packed them."""

MAX_SIZE = 47_040_016  # bytes of the largest file, unpacked


def load_mnist(config: MnistOptions, data_dir: Path) -> Dataset:
    """The autoencoder problem MNIST: images (N, 784) in [0, 1].

    Reads the files in data_dir/MNIST/raw, which may be read-only. Raises UserError for a file that
    cannot be downloaded or is not the canonical one.
    """
    files = read_files(data_dir)
    train = _pixels(files["train-images-idx3-ubyte"], config.train_cases)
    test = _pixels(files["t10k-images-idx3-ubyte"], config.test_cases)
    return Dataset.autoencoder("mnist", train, test, (SIDE, SIDE))


def load_mnist_labels(config: MnistLabelsOptions, data_dir: Path) -> Dataset:
    """MNIST as classification: images (N, 784) in [0, 1], digits as one-hot rows (N, 10).

    Files and errors are those of `load_mnist`.
    """
    files = read_files(data_dir)
    train_inputs, train_targets = _labelled("train", files, config.train_cases)
    test_inputs, test_targets = _labelled("t10k", files, config.test_cases)
    return Dataset(
        "mnist_labels", train_inputs, train_targets, test_inputs, test_targets, image_shape=None
    )


def read_files(data_dir: Path) -> dict[str, NDArray[np.uint8]]:
    """The contents of the four files by name, downloaded into data_dir/MNIST/raw if missing.

    A file may lie there compressed, with .gz at the end of its name, or unpacked.
    """
    folder = data_dir / MnistOptions.FOLDER / "raw"
    ensure_downloaded(folder, missing_files(data_dir), _fetch)
    return {name: _read(_candidates(folder, name), checksum) for name, checksum in SHA256.items()}


def missing_files(data_dir: Path) -> list[str]:
    """The names of the files that have to be downloaded."""
    folder = data_dir / MnistOptions.FOLDER / "raw"
    return [f"{name}{PACKED}" for name in SHA256 if not _candidates(folder, name)]


def _candidates(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / f"{name}{PACKED}", folder / name) if path.exists()]


def _fetch(scratch: Path) -> Path:
    from torchvision.datasets import MNIST

    return Path(MNIST(scratch, download=True).raw_folder)


def _read(candidates: list[Path], checksum: str) -> NDArray[np.uint8]:
    """The first of the files that has the right contents; if none has, the error of the last."""
    *others, last = candidates
    for path in others:
        with contextlib.suppress(UserError):
            return read_checked(path, checksum)
    return read_checked(last, checksum)


def read_checked(path: Path, checksum: str) -> NDArray[np.uint8]:
    """The bytes in an IDX file, packed or not, in the shape given by its header.

    Raises UserError if the file cannot be read or its unpacked contents have another SHA-256.
    """
    advice = "delete the file to have it downloaded again, or put the canonical file in its place"
    try:
        with open_file(path) as stream:
            content = unpacked(stream).read(MAX_SIZE + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be read ({reason}); expected the contents with sha256 {checksum}; "
            f"{advice}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise UserError(
            f"{path}: {len(content)} bytes with sha256 {found}, expected sha256 {checksum}; "
            f"{advice}"
        )
    return parse_idx(content)


def _pixels(images: NDArray[np.uint8], count: int | None) -> NDArray[np.float32]:
    """Bytes (N, 28, 28) as intensities (count, 784) from 0 to 1."""
    return intensities(leading(images, count).reshape(-1, SIDE * SIDE))


def _labelled(
    part: str, files: dict[str, NDArray[np.uint8]], count: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and one-hot digits of "train" or "t10k"."""
    images = _pixels(files[f"{part}-images-idx3-ubyte"], count)
    digits = one_hot(leading(files[f"{part}-labels-idx1-ubyte"], count), DIGITS)
    return torch.from_numpy(images), torch.from_numpy(digits)
