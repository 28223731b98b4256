"""MNIST: the four canonical files, as torchvision downloads them."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.dataset import Dataset, leading, one_hot
from kfac_cli.data.download import ensure_downloaded
from kfac_cli.data.options import DIGITS, MnistLabelsOptions, MnistOptions
from kfac_cli.errors import UserError
from kfac_cli.files import open_file

SIDE = MnistOptions.SIDE
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def load_mnist(config: MnistOptions, data_dir: Path) -> Dataset:
    """The autoencoder problem MNIST: images (N, 784) in [0, 1].

    Reads the .gz files in data_dir/MNIST/raw, which may be read-only. Raises UserError for a file
    that cannot be downloaded or is not the canonical one.
    """
    files = read_files(data_dir)
    train = _pixels(files["train-images-idx3-ubyte.gz"], config.train_cases)
    test = _pixels(files["t10k-images-idx3-ubyte.gz"], config.test_cases)
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
    """The contents of the four files by name, downloaded into data_dir/MNIST/raw if missing."""
    folder = data_dir / MnistOptions.FOLDER / "raw"
    ensure_downloaded(folder, list(MD5), _fetch)
    return {name: read_idx(folder / name, md5) for name, md5 in MD5.items()}


def _fetch(scratch: Path) -> Path:
    from torchvision.datasets import MNIST

    return Path(MNIST(scratch, download=True).raw_folder)


def read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """The bytes in a gzipped IDX file with checksum `md5`, in the shape given by its header.

    Raises UserError if the file cannot be read or has another checksum.
    """
    try:
        with open_file(path) as stream:
            packed = stream.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from error
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{path}: {len(packed)} bytes with md5 {found}, expected md5 {md5}; delete the file to "
            "have it downloaded again, or put the canonical file in its place"
        )
    content = gzip.decompress(packed)
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _pixels(images: NDArray[np.uint8], count: int | None) -> NDArray[np.float32]:
    """Bytes (N, 28, 28) as intensities (count, 784) from 0 to 1."""
    return leading(images, count).reshape(-1, SIDE * SIDE).astype(np.float32) / np.float32(255)


def _labelled(
    part: str, files: dict[str, NDArray[np.uint8]], count: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and one-hot digits of "train" or "t10k"."""
    images = _pixels(files[f"{part}-images-idx3-ubyte.gz"], count)
    digits = one_hot(leading(files[f"{part}-labels-idx1-ubyte.gz"], count), DIGITS)
    return torch.from_numpy(images), torch.from_numpy(digits)
