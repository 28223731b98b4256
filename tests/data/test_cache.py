"""The on-disk cache of generated arrays."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from kfac_cli.data.cache import load_or_build

KEY = "squares-v1"
SHAPES = {"train": (3, 4), "test": (2, 4)}


def build():
    squares = np.arange(20, dtype=np.float32).reshape(5, 4) ** 2
    return {"train": squares[:3], "test": squares[3:]}


def build_never():
    raise AssertionError("must be read, not built")


def assert_built(arrays):
    for name, expected in build().items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == np.float32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "squares.npz"


@pytest.fixture
def cached(path):
    load_or_build(path, KEY, SHAPES, build)
    return path


def test_what_is_built_once_is_read_afterwards(path, caplog):
    caplog.set_level(logging.WARNING)
    assert_built(load_or_build(path, KEY, SHAPES, build))
    assert_built(load_or_build(path, KEY, SHAPES, build_never))
    assert [file.name for file in path.parent.iterdir()] == ["squares.npz"]
    assert caplog.records == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_replaced(cached, caplog, share):
    content = cached.read_bytes()
    cached.write_bytes(content[: int(share * len(content))])
    assert_built(load_or_build(cached, KEY, SHAPES, build))
    assert f"{cached}: not usable" in caplog.text
    assert_built(load_or_build(cached, KEY, SHAPES, build_never))


def test_no_flipped_byte_gets_through(cached):
    """Whichever byte is altered, the arrays are right: read from the file or rebuilt."""
    content = cached.read_bytes()
    rebuilt = 0

    def count_and_build():
        nonlocal rebuilt
        rebuilt += 1
        return build()

    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 0xFF
        cached.write_bytes(altered)
        assert_built(load_or_build(cached, KEY, SHAPES, count_and_build))
    values = sum(array.nbytes for array in build().values())
    assert rebuilt > values


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        ({"key": "squares-v0", **build()}, "made as 'squares-v0', expected 'squares-v1'"),
        (build(), "key"),
        ({"key": KEY, "train": build()["train"]}, "test"),
        ({"key": KEY, **build(), "test": np.zeros((9, 4), np.float32)}, "(9, 4), expected float32"),
        ({"key": KEY, **build(), "test": np.zeros((2, 4))}, "test is float64 (2, 4)"),
    ],
    ids=["another version", "no key", "an array missing", "wrong shape", "wrong dtype"],
)
def test_a_file_that_holds_something_else_is_replaced(cached, caplog, contents, fault):
    np.savez(cached, **contents)
    assert_built(load_or_build(cached, KEY, SHAPES, build))
    assert fault in caplog.text
    assert_built(load_or_build(cached, KEY, SHAPES, build_never))


def test_readers_of_the_old_file_are_not_affected(cached):
    """The new file replaces the old one by renaming; no file is overwritten."""
    cached.write_bytes(b"old and damaged")
    with cached.open("rb") as reader:
        load_or_build(cached, KEY, SHAPES, build)
        assert reader.read() == b"old and damaged"


def test_without_a_place_to_write_the_arrays_are_built_every_time(tmp_path, caplog):
    (tmp_path / "folder").touch()  # a file where the folder should be
    path = tmp_path / "folder" / "squares.npz"
    assert_built(load_or_build(path, KEY, SHAPES, build))
    assert f"{path}: could not be written" in caplog.text


def test_a_full_disk_leaves_nothing_behind(path, caplog, monkeypatch):
    def savez(stream, **arrays):
        stream.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    assert_built(load_or_build(path, KEY, SHAPES, build))
    assert "No space left on device" in caplog.text
    assert list(path.parent.iterdir()) == []


BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from kfac_cli.data.cache import load_or_build

path, me, other = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

def build():
    me.touch()
    deadline = time.monotonic() + 60
    while not other.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    return {"ones": np.ones((2000, 500), np.float32)}

arrays = load_or_build(path, "ones", {"ones": (2000, 500)}, build)
assert arrays["ones"].all()
assert me.exists(), "was not built here"
"""


def test_two_processes_that_build_at_once_leave_one_good_file(tmp_path):
    path, flags = tmp_path / "cache" / "ones.npz", [tmp_path / "first", tmp_path / "second"]
    processes = [
        subprocess.Popen([sys.executable, "-c", BUILDER, path, *order])
        for order in (flags, flags[::-1])
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert list(path.parent.iterdir()) == [path]
    arrays = load_or_build(path, "ones", {"ones": (2000, 500)}, build_never)
    assert arrays["ones"].all()
