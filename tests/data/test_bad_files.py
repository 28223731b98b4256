"""Damaged, wrong and malicious data files: one line that names the file, or the right data."""

import gzip
import hashlib
import io
import os
import struct
import warnings
import zipfile
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch

from kfac_cli.data import faces, mnist
from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.cache import load_or_build
from kfac_cli.data.faces import load_faces, read_photographs
from kfac_cli.data.mnist import load_mnist, load_mnist_labels
from kfac_cli.errors import UserError

WIDTH = 6
MAX_MESSAGE_LENGTH = 600


def damaged(content, seed=0, truncations=40, flips=60):
    """(what was done, the damaged bytes): cut at many places, bits flipped, pieces moved about."""
    generator = np.random.default_rng(seed)
    size = len(content)
    cuts = {0, 1, 2, 3, 4, 8, 10, 64, 80, 127, 128, 129, size - 1, size - 2, size - 8, size - 22}
    cuts |= {round(size * share) for share in np.linspace(0, 1, truncations, endpoint=False)}
    for cut in sorted(cut for cut in cuts if 0 <= cut < size):
        yield f"cut at {cut}", content[:cut]
    places = {*range(min(24, size)), *generator.integers(0, size, flips), *range(size - 8, size)}
    for place in sorted(int(place) for place in places):
        altered = bytearray(content)
        altered[place] ^= 1 << int(generator.integers(8))
        yield f"flipped at {place}", bytes(altered)
    middle = size // 2
    yield "zeros in the middle", content[:middle] + bytes(64) + content[middle + 64 :]
    yield "a byte too many", content[:middle] + b"x" + content[middle:]
    yield "a byte too few", content[:middle] + content[middle + 1 :]
    yield "more behind it", content + content
    yield "halves exchanged", content[middle:] + content[:middle]
    yield "only zeros", bytes(size)
    yield "text", b"<html><body>404: not found</body></html>\n"
    yield "a pickle", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."


def assert_refused(file, load):
    """`load` raises UserError with one line that names the file; returns the line."""
    with pytest.raises(UserError) as caught:
        load()
    line = str(caught.value)
    assert line.startswith(f"{file}: ") or f" {file}: " in line, line
    assert "\n" not in line
    assert len(line) < MAX_MESSAGE_LENGTH
    assert "expected" in line or "must have" in line, line
    return line


@pytest.fixture(autouse=True)
def _no_warnings():
    """Ignore numpy's warnings about damaged files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# MNIST


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A data folder with four small files whose checksums count as the canonical ones."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    checksums = {}
    for name, count in zip(mnist.SHA256, (12, 12, 5, 5), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        values = generator.integers(0, 256 if "images" in name else 10, shape, dtype=np.uint8)
        content = struct.pack(f">HBB{values.ndim}i", 0, 8, values.ndim, *shape) + values.tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        checksums[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(mnist, "SHA256", checksums)
    return tmp_path


ALL = SimpleNamespace(train_cases=None, test_cases=None)


@pytest.mark.parametrize("load", [load_mnist, load_mnist_labels])
@pytest.mark.parametrize("name", list(mnist.SHA256))
def test_no_damaged_file_of_mnist_gives_others(small_mnist, load, name):
    file = small_mnist / "MNIST" / "raw" / f"{name}.gz"
    expected = load(ALL, small_mnist).fingerprint
    harmless = []  # in the file's own name, time and system, which gzip keeps
    for done, content in damaged(file.read_bytes(), truncations=20, flips=30):
        file.write_bytes(content)
        try:
            assert load(ALL, small_mnist).fingerprint == expected
            harmless.append(done)
        except UserError:
            line = assert_refused(file, lambda: load(ALL, small_mnist))
            assert "delete the file to have it downloaded again" in line
    assert len(harmless) <= 10


def test_other_idx_files_are_not_mnist(small_mnist):
    """Wrong magic numbers, dtypes and numbers of images, in undamaged archives."""
    file = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    content = gzip.decompress(file.read_bytes())
    for other in (
        b"\0\0\x0d\x03" + content[4:],
        b"\0\0\x08\x01" + content[4:],
        content[:4] + struct.pack(">i", 0) + content[8:16],
        content[:4] + struct.pack(">i", 2**31 - 1) + content[8:],
        content[:4] + struct.pack(">i", -1) + content[8:],
    ):
        file.write_bytes(gzip.compress(other))
        assert_refused(file, lambda: load_mnist(ALL, small_mnist))


# FACES


@pytest.fixture
def pixels(monkeypatch):
    """Bytes (400, 4096) that count as the canonical photographs."""
    generator = np.random.default_rng(0)
    pixels = np.zeros((400, 4096), np.uint8)  # compresses well
    pixels[::7] = generator.integers(0, 243, 4096, dtype=np.uint8)
    pixels[:9] = generator.integers(0, 243, (9, 4096), dtype=np.uint8)
    upright = pixels.reshape(400, 64, 64).transpose(0, 2, 1)
    monkeypatch.setattr(faces, "SHA256", hashlib.sha256(upright.tobytes()).hexdigest())
    return pixels


@pytest.fixture
def photographs(tmp_path, pixels):
    """Their file, as scikit-learn writes it."""
    path = tmp_path / "olivetti_py3.pkz"
    joblib.dump(pixels, path, compress=6)
    return path


def test_no_damaged_file_of_photographs_gives_others(tmp_path, photographs, pixels):
    expected = read_photographs(tmp_path)
    harmless = []  # after the end, or in padding bits
    for done, content in damaged(photographs.read_bytes(), truncations=30, flips=60):
        photographs.write_bytes(content)
        try:
            assert np.array_equal(read_photographs(tmp_path), expected)
            harmless.append(done)
        except UserError:
            line = assert_refused(photographs, lambda: read_photographs(tmp_path))
            assert "delete the file to have it downloaded again" in line
    assert len(harmless) <= 3


@pytest.mark.parametrize("level", [1, 3, 6, 9])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_photographs_are_read_however_they_were_packed(
    tmp_path, photographs, pixels, level, protocol
):
    expected = read_photographs(tmp_path)
    joblib.dump(pixels, photographs, compress=level, protocol=protocol)
    assert np.array_equal(read_photographs(tmp_path), expected)


@pytest.mark.parametrize(
    "contents",
    [
        np.zeros((0, 4096), np.uint8),
        np.zeros((1, 4096), np.uint8),
        np.zeros((400, 4096), np.uint8),
        np.zeros((400, 4096), np.float64),
        np.zeros((401, 4096), np.uint8),
        np.zeros((40000, 4096), np.uint8),
        np.full((400, 4096), np.nan, np.float32),
        np.array([None, {}], dtype=object),
        ["nothing"],
        None,
    ],
    ids=lambda contents: f"{getattr(contents, 'dtype', '')}{getattr(contents, 'shape', contents)}",
)
def test_other_contents_are_not_photographs(tmp_path, photographs, contents):
    joblib.dump(contents, photographs, compress=6)
    assert_refused(photographs, lambda: read_photographs(tmp_path))


def test_the_real_photographs_are_those_that_scikit_learn_reads(real_data):
    from sklearn.datasets import fetch_olivetti_faces

    folder = real_data / "olivetti"
    theirs = fetch_olivetti_faces(data_home=folder, download_if_missing=False).images
    mine = read_photographs(folder)
    assert mine.dtype == theirs.dtype
    assert np.array_equal(mine, theirs)


# The caches of CURVES and FACES

SHAPES = {"train": (9, 4), "test": (2, 4)}


def build():
    squares = np.arange(44, dtype=np.float32).reshape(11, 4) ** 2
    return {"train": squares[:9], "test": squares[9:]}


def assert_right(path):
    """Whatever the file contains, the arrays are right, and the file is afterwards."""
    for _ in range(2):
        for name, array in load_or_build(path, "key", SHAPES, build).items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, build()[name])


@pytest.fixture
def cached(tmp_path):
    path = tmp_path / "cache" / "squares.npz"
    load_or_build(path, "key", SHAPES, build)
    return path


def test_no_damaged_cache_is_used(cached):
    for _, content in damaged(cached.read_bytes(), truncations=60, flips=200):
        cached.write_bytes(content)
        assert_right(cached)


@pytest.mark.parametrize(
    "change",
    [
        {"train": np.full((9, 4), np.nan, np.float32)},
        {"test": np.array([[np.inf] * 4] * 2, np.float32)},
        {"train": np.zeros((9, 4), object)},
        {"train": np.zeros((9, 4), ">f4")},
        {"train": np.zeros((0, 4), np.float32)},
        {"train": np.zeros((9, 4), "S9")},
        {"key": np.array(["key", "key"])},
        {"key": np.array(b"key")},
        {"key": np.array("k" * 10**6)},
        {"key": np.array(None, object)},
        {"test": np.zeros((10**7, 4), np.float32)},
    ],
    ids=lambda change: " ".join(f"{k}: {v.dtype.str} {v.shape}" for k, v in change.items()),
)
def test_a_cache_of_something_else_is_replaced(cached, change):
    contents = {"key": np.array("key"), **build(), **change}
    np.savez_compressed(cached, **contents, allow_pickle=True)
    assert_right(cached)


def test_a_cache_that_would_fill_the_memory_is_not_unpacked(cached, monkeypatch):
    np.savez_compressed(cached, key=np.array("key"), **{**build(), "train": np.zeros((10**6, 4))})
    unpacked = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: unpacked.append(x := read(self, n)) or x
    )
    assert_right(cached)
    assert sum(map(len, unpacked)) < 10_000


# The user's own arrays


def header(shape, descr="<f4", fortran=False, version=1, length=None):
    """The header of a .npy file with these claims."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    text += b" " * (118 - len(text)) + b"\n"
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", size)
        + text
    )


def npy(array, **keywords):
    buffer = io.BytesIO()
    np.save(buffer, array, **keywords)
    return buffer.getvalue()


def settings(**changes):
    given = dict.fromkeys(("file", "train_targets", "test_targets", "image_shape"))
    given |= {"layer_sizes": (WIDTH, 3, WIDTH), "output": "gaussian"}
    return SimpleNamespace(**given | changes)


@pytest.fixture
def cases():
    return np.random.default_rng(0).random((9, WIDTH), dtype=np.float32)


@pytest.fixture
def single(tmp_path, cases):
    """(file, load): one .npy file for all; call `load` to read it as inputs of both parts."""
    file = tmp_path / "cases.npy"
    file.write_bytes(npy(cases))
    config = settings(train_inputs=str(file), test_inputs=str(file))
    return file, lambda: load_arrays(config)


@pytest.fixture(params=[np.savez, np.savez_compressed])
def archive(request, tmp_path, cases):
    """(file, load): an .npz file."""
    file = tmp_path / "cases.npz"
    request.param(file, train_inputs=cases, test_inputs=cases[:4])
    config = settings(file=str(file), train_inputs=None, test_inputs=None)
    return file, lambda: load_arrays(config)


def assert_usable(dataset):
    for tensor in (dataset.train_inputs, dataset.test_inputs):
        assert tensor.dtype == torch.float32
        assert tensor.shape[1] == WIDTH
        assert len(tensor) >= 1
        assert torch.isfinite(tensor).all()


def test_a_damaged_npy_file_is_refused_or_is_still_one_of_cases(single):
    """It has no checksum, so a flipped bit of a value cannot be detected."""
    file, load = single
    refused = 0
    for done, content in damaged(file.read_bytes(), truncations=100, flips=150):
        file.write_bytes(content)
        try:
            assert_usable(load())
            assert not done.startswith("cut")
        except UserError:
            assert_refused(file, load)
            refused += 1
    assert refused > 150


def test_a_damaged_npz_file_is_refused(archive, cases):
    file, load = archive
    for _, content in damaged(file.read_bytes(), truncations=100, flips=150):
        file.write_bytes(content)
        try:
            dataset = load()  # the damage is in unused bytes
        except UserError:
            assert_refused(file, load)
        else:
            assert np.array_equal(dataset.train_inputs.numpy(), cases)
            assert np.array_equal(dataset.test_inputs.numpy(), cases[:4])


BAD_NPY = {
    "a million million rows": header((10**12, WIDTH)),
    "rows that overflow": header((2**62, WIDTH)),
    "more rows than a number can count": header((10**30, WIDTH)),
    "no rows": header((0, WIDTH)),
    "minus one row": header((-1, WIDTH)) + bytes(100),
    "a shape that is none": header("'abc'"),
    "a shape of fractions": header((9.5, WIDTH)) + bytes(1000),
    "a scalar": header(()) + bytes(4),
    "three dimensions": header((9, 2, 3)) + bytes(216),
    "33 dimensions": header((1,) * 65) + bytes(4),
    "a dtype that is none": header((9, WIDTH), "nonsense") + bytes(1000),
    "an object dtype": header((9, WIDTH), "|O") + bytes(1000),
    "a dtype of no size": header((9, WIDTH), "<V0"),
    "a structured dtype": header((9, WIDTH), [("a", "<f4")]) + bytes(1000),
    "a nested dtype": header((9, WIDTH), [("a", "|O")]) + bytes(1000),
    "strings": header((9, WIDTH), "<U3") + bytes(1000),
    "dates": header((9, WIDTH), "<M8[D]") + bytes(1000),
    "complex": header((9, WIDTH), "<c8") + bytes(1000),
    "an order that is none": header((9, WIDTH), fortran="maybe") + bytes(1000),
    "code for a header": header("__import__('os').system('true')"),
    "an unknown version": header((9, WIDTH), version=9) + bytes(1000),
    "a header longer than the file": header((9, WIDTH), version=2, length=2**32 - 1),
    "a header of a megabyte": header((9, WIDTH), version=2, length=10**6) + b" " * 10**6,
    "a deep header": header("(" * 60 + ")" * 60),
    "too wide": npy(np.zeros((9, WIDTH + 1))),
    "a vector": npy(np.zeros(WIDTH)),
    "pickled objects": npy(np.array([[{}] * WIDTH], dtype=object), allow_pickle=True),
    "not a number": npy(np.full((9, WIDTH), np.nan)),
    "infinite": npy(np.full((9, WIDTH), -np.inf)),
    "beyond float32": npy(np.full((9, WIDTH), 1e39)),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_NPY)
def test_a_wrong_npy_file_is_refused(single, what):
    file, load = single
    file.write_bytes(BAD_NPY[what])
    assert_refused(file, load)


@pytest.mark.parametrize("what", BAD_NPY)
def test_a_wrong_array_in_an_archive_is_refused(archive, cases, what):
    file, load = archive
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("train_inputs.npy", BAD_NPY[what])
        out.writestr("test_inputs.npy", npy(cases))
    assert_refused(file, load)


LEGAL_NPY = {
    "one row": np.ones((1, WIDTH)),
    "constant": np.full((9, WIDTH), 0.5),
    "column order": np.asfortranarray(np.arange(9.0 * WIDTH).reshape(9, WIDTH)),
    "big-endian": np.arange(9.0 * WIDTH).reshape(9, WIDTH).astype(">f8"),
    "booleans": np.arange(9 * WIDTH).reshape(9, WIDTH) % 2 == 0,
    "bytes": np.arange(9 * WIDTH, dtype=np.uint8).reshape(9, WIDTH),
    "whole numbers": np.arange(9 * WIDTH).reshape(9, WIDTH) - 20,
    "halves": np.arange(9 * WIDTH, dtype=np.float16).reshape(9, WIDTH),
    "long doubles": np.arange(9 * WIDTH, dtype=np.longdouble).reshape(9, WIDTH),
    "too small for float32": np.full((9, WIDTH), 1e-300),
}


@pytest.mark.parametrize("what", LEGAL_NPY)
def test_an_unusual_npy_file_is_read_as_what_it_is(single, what):
    file, load = single
    file.write_bytes(npy(LEGAL_NPY[what]))
    dataset = load()
    assert_usable(dataset)
    expected = LEGAL_NPY[what].astype(np.float32)
    assert np.array_equal(dataset.train_inputs.numpy(), expected)


# Things that are no files


@pytest.fixture
def every_kind(small_mnist, tmp_path, photographs, cases):
    """By name: a file that a loader reads, and the loader."""
    olivetti = tmp_path / "olivetti"
    olivetti.mkdir()
    photographs = photographs.rename(olivetti / photographs.name)
    array = tmp_path / "cases.npy"
    array.write_bytes(npy(cases))
    config = settings(train_inputs=str(array), test_inputs=str(array))
    crops = SimpleNamespace(
        crops_per_photograph=1, subsampling=2.25, seed=0, train_cases=None, test_cases=None
    )
    return {
        "mnist": (
            small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte.gz",
            lambda: load_mnist(ALL, small_mnist),
        ),
        "faces": (photographs, lambda: load_faces(crops, tmp_path)),
        "arrays": (array, lambda: load_arrays(config)),
    }


@pytest.mark.parametrize("kind", ["mnist", "faces", "arrays"])
def test_what_is_no_file_is_refused_without_blocking(every_kind, kind, tmp_path):
    file, load = every_kind[kind]
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    assert "cannot be read" in str(refusal(load))
    file.rmdir()
    os.mkfifo(file)
    assert "it is not a file" in str(refusal(load))
    file.unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    file.symlink_to(tmp_path / "elsewhere")  # a user may link files
    load()


def refusal(load):
    with pytest.raises(UserError) as caught:
        load()
    return caught.value


def test_a_cache_that_is_no_file_is_ignored(cached):
    for make in (os.mkdir, os.mkfifo):
        cached.unlink(missing_ok=True)
        make(cached)
        for name, array in load_or_build(cached, "key", SHAPES, build).items():
            np.testing.assert_array_equal(array, build()[name])
        if cached.is_dir():
            cached.rmdir()
    assert_right(cached)
