"""MNIST: right and wrong files, and known statistics of the real ones."""

import gzip
import hashlib
import io
import struct
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import torchvision.datasets

from kfac_cli.data import mnist
from kfac_cli.data.download import ensure_downloaded
from kfac_cli.data.mnist import load_mnist, load_mnist_labels

TRAIN, TEST = 12, 5
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
NAMES = [f"{name}.gz" for name in mnist.SHA256]


def config(train_cases=None, test_cases=None):
    return SimpleNamespace(train_cases=train_cases, test_cases=test_cases)


def idx(array):
    header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def small():
    """Four small files like MNIST's, by name."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (TRAIN + TEST, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, TRAIN + TEST, dtype=np.uint8)
    arrays = (images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])
    return dict(zip(NAMES, arrays, strict=True))


@pytest.fixture
def packed(small, monkeypatch):
    """The four files' bytes; their checksums count as the canonical ones."""
    contents = {name: idx(array) for name, array in small.items()}
    checksums = [hashlib.sha256(content).hexdigest() for content in contents.values()]
    monkeypatch.setattr(mnist, "SHA256", dict(zip(mnist.SHA256, checksums, strict=True)))
    packed = {name: gzip.compress(content, mtime=0) for name, content in contents.items()}
    downloads = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", downloads)
    return packed


@pytest.fixture
def raw(packed, tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in packed.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_names_are_torchvisions():
    assert [name for name, _ in torchvision.datasets.MNIST.resources] == NAMES


def test_pixels_become_intensities(raw, small, tmp_path):
    dataset = load_mnist(config(), tmp_path)
    expected = small[TRAIN_IMAGES].reshape(TRAIN, 784) / 255
    np.testing.assert_allclose(dataset.train_inputs.numpy(), expected, rtol=1e-6)
    assert dataset.test_inputs.shape == (TEST, 784)
    assert dataset.train_targets is dataset.train_inputs
    assert dataset.image_shape == (28, 28)


def test_fewer_cases_are_the_first(raw, tmp_path):
    full, few = load_mnist(config(), tmp_path), load_mnist(config(3, 2), tmp_path)
    assert few.train_inputs.equal(full.train_inputs[:3])
    assert few.test_inputs.equal(full.test_inputs[:2])


def test_labels_belong_to_their_images(raw, small, tmp_path):
    images, labelled = load_mnist(config(), tmp_path), load_mnist_labels(config(), tmp_path)
    assert labelled.name == "mnist_labels"
    assert labelled.train_inputs.equal(images.train_inputs)
    assert labelled.test_inputs.equal(images.test_inputs)
    digits = [labelled.train_targets.argmax(1).numpy(), labelled.test_targets.argmax(1).numpy()]
    names = ("train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    for found, name in zip(digits, names, strict=True):
        np.testing.assert_array_equal(found, small[name])
    assert labelled.train_targets.shape == (TRAIN, 10)
    assert labelled.train_targets.sum(1).eq(1).all()
    assert labelled.train_targets.dtype == labelled.train_inputs.dtype
    assert labelled.image_shape is None  # a class is no picture


def test_fewer_labels_are_the_first(raw, tmp_path):
    full, few = load_mnist_labels(config(), tmp_path), load_mnist_labels(config(3, 2), tmp_path)
    assert few.train_targets.equal(full.train_targets[:3])
    assert few.test_targets.equal(full.test_targets[:2])


def test_nothing_is_written_if_the_files_exist(raw, packed, tmp_path, offline):
    load_mnist(config(), tmp_path)
    assert sorted(file.name for file in raw.iterdir()) == sorted(packed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("load", [load_mnist, load_mnist_labels])
def test_a_damaged_file_is_named(raw, tmp_path, refusal, load, name, damage):
    content = bytearray((raw / name).read_bytes())
    if damage == "altered":
        content[len(content) // 2] ^= 1
    else:
        del content[0 if damage == "empty" else len(content) // 2 :]
    (raw / name).write_bytes(content)
    message = refusal(load, config(), tmp_path)
    assert message.startswith(f"{raw / name}: ")
    assert mnist.SHA256[name.removesuffix(".gz")] in message
    assert "delete the file" in message


@pytest.mark.parametrize("form", ["unpacked", "packed anew", "unpacked under its packed name"])
def test_the_contents_count_and_not_how_they_are_packed(raw, packed, tmp_path, offline, form):
    expected = load_mnist_labels(config(), tmp_path)
    for name, content in packed.items():
        (raw / name).unlink()
        unpacked = gzip.decompress(content)
        if form == "packed anew":
            (raw / name).write_bytes(gzip.compress(unpacked, 1, mtime=17))
        else:
            (raw / (name if "name" in form else name.removesuffix(".gz"))).write_bytes(unpacked)
    before = sorted(raw.iterdir())
    found = load_mnist_labels(config(), tmp_path)
    for part in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        assert getattr(found, part).equal(getattr(expected, part))
    assert sorted(raw.iterdir()) == before


def test_a_broken_download_beside_the_unpacked_file_does_not_matter(raw, packed, tmp_path):
    unpacked = gzip.decompress(packed[TRAIN_IMAGES])
    (raw / TRAIN_IMAGES.removesuffix(".gz")).write_bytes(unpacked)
    (raw / TRAIN_IMAGES).write_bytes(packed[TRAIN_IMAGES][:100])
    assert len(load_mnist(config(), tmp_path).train_inputs) == TRAIN


def test_an_unreadable_file_is_named(raw, tmp_path, refusal):
    (raw / TRAIN_IMAGES).unlink()
    (raw / TRAIN_IMAGES).mkdir()
    assert refusal(load_mnist, config(), tmp_path).startswith(f"{raw / TRAIN_IMAGES}: cannot be")


@pytest.mark.parametrize("load", [load_mnist, load_mnist_labels])
def test_a_link_to_a_file_that_does_not_exist_is_named(raw, tmp_path, refusal, load):
    (raw / TRAIN_IMAGES).unlink()
    (raw / TRAIN_IMAGES).symlink_to(tmp_path / "elsewhere")
    assert refusal(load, config(), tmp_path) == (
        f"{raw / TRAIN_IMAGES}: is a link to {tmp_path / 'elsewhere'}, which does not exist; "
        "delete the link to have the file downloaded, or put the file in that place"
    )


def test_without_files_and_network_the_error_says_what_to_do(tmp_path, refusal, offline):
    message = refusal(load_mnist, config(), tmp_path)
    assert message.startswith(f"{tmp_path / 'MNIST' / 'raw' / TRAIN_IMAGES}: no such file")
    assert "Name or service not known" in message
    for advice in ("network", "t10k-labels-idx1-ubyte.gz", "data_dir"):
        assert advice in message
    assert list((tmp_path / "MNIST" / "raw").iterdir()) == []


def test_only_missing_files_are_asked_for(raw, tmp_path, refusal, offline):
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refusal(load_mnist, config(), tmp_path)
    assert "copy t10k-labels-idx1-ubyte.gz into" in message


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path, refusal):
    (tmp_path / "MNIST").touch()
    assert "downloading it failed" in refusal(load_mnist, config(), tmp_path)


def test_missing_files_are_downloaded(packed, tmp_path, monkeypatch):
    class Response(io.BytesIO):
        def __init__(self, request):
            self.url = request.full_url
            content = packed[self.url.rsplit("/", 1)[1]]
            self.length = len(content)
            super().__init__(content)

    monkeypatch.setattr(urllib.request, "urlopen", Response)
    assert len(load_mnist(config(), tmp_path).train_inputs) == TRAIN
    folder = tmp_path / "MNIST" / "raw"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == packed


def test_a_download_replaces_no_file_that_is_there(tmp_path):
    scratch = tmp_path / "fetched"
    scratch.mkdir()
    for name in "ab":
        (scratch / name).write_text("new")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("precious")
    ensure_downloaded(tmp_path / "data", ["a", "b"], lambda folder: scratch)
    assert (tmp_path / "data/a").read_text() == "precious"
    assert (tmp_path / "data/b").read_text() == "new"


def test_the_real_files(real_data):
    dataset = load_mnist(config(), real_data)
    assert dataset.train_inputs.shape == (60_000, 784)
    assert dataset.test_inputs.shape == (10_000, 784)
    assert float(dataset.train_inputs.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(dataset.train_inputs.double().var(dim=0).sum()) == pytest.approx(52.7, abs=0.05)
    assert float(dataset.train_inputs.min()) == 0
    assert float(dataset.train_inputs.max()) == 1
    labelled = load_mnist_labels(config(), real_data)
    # Known numbers of each digit.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labelled.train_targets.sum(0).tolist() == counts
    assert labelled.test_targets.sum(0).tolist()[:3] == [980, 1135, 1032]
