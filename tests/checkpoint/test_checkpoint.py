"""Checkpoint files: exact, verified, without code, written atomically."""

import hashlib
import itertools
import json
import math
import os
import pickle
import random
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from soak.compare import place_of_difference

from kfac_cli.checkpoint.folder import CheckpointFolder, checkpoint_iterations
from kfac_cli.checkpoint.tree import DamagedFileError, read_tree, write_tree
from kfac_cli.errors import UserError


def written(path, tree):
    with path.open("wb") as file:
        write_tree(file, tree)
    return path


def there_and_back(path, tree):
    return read_tree(written(path, tree))


# The format


DTYPES = (torch.float64, torch.float32, torch.int64, torch.uint8, torch.bool)
shapes = st.lists(st.integers(0, 4), max_size=3)
tensors = st.builds(
    lambda shape, dtype, seed: torch.randint(
        0, 255, shape, generator=torch.Generator().manual_seed(seed)
    ).to(dtype),
    shapes,
    st.sampled_from(DTYPES),
    st.integers(0, 2**31),
)
leaves = (
    tensors
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
)
keys = st.text(min_size=1, max_size=8).filter(lambda key: not key.startswith("$"))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(tree=trees)
def test_every_tree_comes_back_bit_for_bit(tmp_path_factory, tree):
    found = there_and_back(tmp_path_factory.getbasetemp() / "tree", {"state": tree})
    assert place_of_difference({"state": tree}, found) is None


def test_numbers_come_back_exactly(tmp_path):
    values = [1e-132, 5e-324, 0.1, -0.0, 2**63 - 1, math.inf, -math.inf]
    found = there_and_back(tmp_path / "tree", values)
    assert [repr(value) for value in found] == [repr(value) for value in values]
    assert math.isnan(there_and_back(tmp_path / "tree", [math.nan])[0])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 5).T,
        torch.randn(2, 3, 4).permute(2, 0, 1),
        torch.randn(1, 5).T,  # its strides decide how it is multiplied
        torch.randn(6, 4)[2:5],
        torch.randn(6, 4)[2:5].T,
        torch.randn(0, 3).T,
        torch.tensor(2.5),
    ],
)
def test_values_come_back_in_their_layout(tmp_path, tensor):
    (found,) = there_and_back(tmp_path / "tree", [tensor])
    assert torch.equal(found, tensor)
    assert found.stride() == tensor.stride()
    assert found.data_ptr() % 16 == 0


def test_a_view_with_gaps_comes_back_without_them(tmp_path):
    tensor = torch.randn(6, 4)[:, 1:3]
    (found,) = there_and_back(tmp_path / "tree", [tensor])
    assert torch.equal(found, tensor)
    assert found.is_contiguous()


def test_shared_tensors_are_saved_once_and_shared_again(tmp_path):
    tensor = torch.zeros(1000)
    found = there_and_back(tmp_path / "tree", {"a": tensor, "b": [tensor, torch.zeros(1000)]})
    assert found["a"] is found["b"][0]
    assert found["a"] is not found["b"][1]
    assert (tmp_path / "tree").stat().st_size < 3 * 4000


def test_the_file_is_safetensors_with_the_checksum_of_all_before_it(tmp_path):
    matrix = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    data = written(tmp_path / "tree", {"w": [matrix], "k": 3}).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert torch.equal(load_file(tmp_path / "tree")["0:w/0"], matrix)
    assert header["0:w/0"] == {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    assert header["sha256"] == {"dtype": "U8", "shape": [32], "data_offsets": [24, 56]}
    assert all(type(value) is str for value in header["__metadata__"].values())
    assert data[8 + length : 8 + length + 24] == matrix.numpy().tobytes()
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    assert len(data) == 8 + length + 56


def test_any_key_may_be_the_name_of_a_tensor(tmp_path):
    """Also those that the format uses itself, and those that look like a path."""
    one, two, three, four = (torch.full((2,), float(i)) for i in range(4))
    tree = {"sha256": one, "__metadata__": two, "a/b": three, "a": {"b": four}}
    assert place_of_difference(tree, there_and_back(tmp_path / "tree", tree)) is None


def test_tensors_that_overlap_in_memory_come_back_apart(tmp_path):
    whole = torch.arange(12.0)
    found = there_and_back(tmp_path / "tree", [whole, whole[3:9], whole.view(3, 4)])
    assert place_of_difference([whole, whole[3:9], whole.view(3, 4)], found) is None
    found[0].zero_()
    assert torch.equal(found[1], whole[3:9])


def test_parameters_that_require_gradients_come_back_without(tmp_path):
    (found,) = there_and_back(tmp_path / "tree", [torch.ones(2, 3, requires_grad=True).T])
    assert torch.equal(found, torch.ones(3, 2))
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ({"a": {1: 2}}, TypeError, "a: has the key 1, which is no string"),
        ({"a": [object()]}, TypeError, "a/0: a object cannot be saved"),
        ({"$tensor": 1}, ValueError, "which starts with \\$"),
        *(
            ({"a": [torch.zeros(2, dtype=t)]}, TypeError, f"a/0: a tensor of {t} cannot be saved")
            for t in (torch.float16, torch.bfloat16, torch.complex64, torch.int32)
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(tmp_path, tree, error, message):
    with pytest.raises(error, match=message):
        written(tmp_path / "tree", tree)


# Damage


@pytest.fixture
def example(tmp_path):
    tree = {"w": [torch.randn(20, 30)], "generator": torch.Generator().get_state(), "lambda": 0.1}
    return written(tmp_path / "example", tree)


def refused(path, contents):
    path.write_bytes(contents)
    with pytest.raises(DamagedFileError) as caught:
        read_tree(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_any_byte_is_noticed(tmp_path):
    path = written(tmp_path / "tree", {"w": [torch.randn(2, 3).T, torch.tensor(True)], "k": 0.1})
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        refused(path, damaged)


def test_a_byte_that_is_replaced_far_behind_the_header_is_noticed(example):
    whole = example.read_bytes()
    chance = random.Random(0)
    for place in chance.sample(range(len(whole)), 300):
        damaged = bytearray(whole)
        damaged[place] ^= chance.randrange(1, 256)
        refused(example, damaged)


def test_every_cut_and_every_addition_is_noticed(example):
    whole = example.read_bytes()
    for length in [*range(100), *random.Random(0).sample(range(len(whole)), 100), len(whole) - 1]:
        refused(example, whole[:length])
    for addition in (b"\0", whole, b"x" * 32, hashlib.sha256(whole).digest()):
        refused(example, whole + addition)
        refused(example, addition + whole)


def signed(header, values=b"", length=None):
    """A file with the right checksum but any other contents."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = (len(text) if length is None else length).to_bytes(8, "little") + text + values
    return data + hashlib.sha256(data).digest()


def claiming(tree, size=16, **entry):
    """A header with one tensor `w` among the first `size` bytes of the values."""
    return {
        "__metadata__": {"tree": tree if isinstance(tree, str) else json.dumps(tree)},
        "w": entry,
        "sha256": {"dtype": "U8", "shape": [32], "data_offsets": [size, size + 32]},
    }


def reference(**layout):
    """A file whose tensor of four values is to be laid out so."""
    return signed(claiming({"$tensor": "w", **layout}, shape=[4], **FOUR), VALUES)


def tree_of_text(text):
    return signed(claiming(text, shape=[4], **FOUR), VALUES)


def tensor_of(size=16, **entry):
    return signed(claiming(ONE, size, **entry), VALUES)


ONE = {"$tensor": "w"}
FOUR = {"dtype": "F32", "data_offsets": [0, 16]}
VALUES = struct.pack("<4f", 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (reference(), torch.tensor([1.0, 2, 3, 4])),
        (reference(shape=[2, 2], stride=[1, 2]), torch.tensor([[1.0, 2], [3, 4]]).T),
        (tensor_of(shape=[2, 2], **FOUR), torch.tensor([[1.0, 2], [3, 4]])),
    ],
)
def test_a_reference_needs_a_layout_only_if_it_is_not_that_of_the_tensor(
    tmp_path, contents, expected
):
    """As in older checkpoints; and so that what is refused below is refused for its own fault."""
    (tmp_path / "file").write_bytes(contents)
    assert place_of_difference(read_tree(tmp_path / "file"), expected) is None


@pytest.mark.parametrize(
    "contents",
    [
        signed(b""),
        signed(b"[]"),
        signed(b"{"),
        signed(b"[" * 100_000),
        signed({}, length=2**63),
        signed({}, length=2**64 - 1),
        signed({"sha256": claiming(ONE, 0)["sha256"]}),
        signed({"__metadata__": {}, "sha256": claiming(ONE, 0)["sha256"]}),
        signed({"__metadata__": {"tree": 3}, "sha256": claiming(ONE, 0)["sha256"]}),
        tree_of_text("["),
        tree_of_text("[" * 100_000),
        tree_of_text("9" * 5000),
        tree_of_text('{"$tensor": "other"}'),
        tree_of_text('{"$tensor": []}'),
        tree_of_text('{"$tensor": {"$tensor": "w"}}'),
        tensor_of(shape=[2**62], dtype="F32", data_offsets=[0, 2**64]),
        tensor_of(shape=[2**38], dtype="F32", data_offsets=[0, 2**40], size=2**40),
        tensor_of(shape=[2**62, 2**62], **FOUR),
        tensor_of(shape=[-2, -2], **FOUR),
        tensor_of(shape=[3], **FOUR),
        tensor_of(shape=["4"], **FOUR),
        tensor_of(shape=[4], dtype="F32", data_offsets=[-16, 0]),
        tensor_of(shape=[4], dtype="F32", data_offsets=[16, 0]),
        tensor_of(shape=[4], dtype="F32", data_offsets=[8, 24]),
        tensor_of(shape=[2], dtype="F32", data_offsets=[0, 8]),
        tensor_of(shape=[4], dtype="object", data_offsets=[0, 16]),
        reference(shape=[2, 2], stride=[2, 2]),
        reference(shape=[2, 2], stride=[0, 1]),
        reference(shape=[2, 2], stride=[-2, 1]),
        reference(shape=[2, 2], stride=[2**40, 1]),
        reference(shape=[2, 2], stride=[2**70, 1]),
        reference(shape=[2, 2], stride="ab"),
        reference(shape=[2, 2], stride=[2.5, 1]),
        reference(shape=[2, 2], stride=[1]),
        reference(shape=[9], stride=[1]),
        reference(shape=[3], stride=[1]),
        reference(shape=[2**40], stride=[0]),
        reference(shape=None, stride=None),
        pickle.dumps(print),
    ],
    ids=itertools.count(),
)
def test_a_malicious_file_is_refused_even_with_the_right_checksum(tmp_path, contents):
    refused(tmp_path / "file", contents)


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    def forbidden(*arguments, **keywords):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    monkeypatch.setattr(torch, "load", forbidden)
    path = tmp_path / "checkpoint-3.safetensors"
    torch.save({"w": torch.zeros(2)}, path)
    refused(path, path.read_bytes())
    assert there_and_back(path, {"w": torch.zeros(2)})["w"].shape == (2,)


# A folder of them


def tree_of(iteration):
    return {"iteration": iteration, "w": torch.full((50,), float(iteration))}


def filled(folder, *iterations):
    checkpoints = CheckpointFolder(folder)
    for iteration in iterations:
        checkpoints.write(iteration, tree_of(iteration))
    return checkpoints


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def flip(path):
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


def path_of(folder, iteration):
    return folder / f"checkpoint-{iteration}.safetensors"


@pytest.mark.parametrize(("keep", "kept"), [(0, [4, 3]), (1, [4]), (2, [4, 3]), (9, [4, 3, 2, 1])])
def test_as_many_of_the_newest_are_kept_as_are_asked_for(tmp_path, keep, kept):
    checkpoints = CheckpointFolder(tmp_path, keep)
    for iteration in (1, 2, 3, 4):
        checkpoints.write(iteration, tree_of(iteration))
    assert checkpoint_iterations(tmp_path) == kept
    checkpoints.clear()
    assert checkpoint_iterations(tmp_path) == []


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    assert CheckpointFolder(tmp_path).read() is None


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    filled(tmp_path, 5, 9, 10)
    assert checkpoint_iterations(tmp_path) == [10, 9]
    reader = CheckpointFolder(tmp_path)
    assert reader.read()["iteration"] == reader.latest == 10


def test_a_damaged_newest_falls_back_to_the_one_before_with_a_warning(tmp_path, caplog):
    filled(tmp_path, 5, 10)
    flip(path_of(tmp_path, 10))
    assert CheckpointFolder(tmp_path).read()["iteration"] == 5
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "checkpoint-10.safetensors is damaged (its checksum does not match); using "
        "checkpoint-5.safetensors instead"
    )


def test_after_a_fall_back_the_good_one_is_kept_and_the_damaged_one_deleted(tmp_path):
    filled(tmp_path, 5, 10)
    flip(path_of(tmp_path, 10))
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.read()
    checkpoints.write(7, tree_of(7))
    assert checkpoint_iterations(tmp_path) == [7, 5]


def test_only_damaged_ones_are_one_clear_line(tmp_path, caplog):
    filled(tmp_path, 5, 10)
    flip(path_of(tmp_path, 10))
    path_of(tmp_path, 5).write_bytes(b"")
    with pytest.raises(UserError) as caught:
        CheckpointFolder(tmp_path).read()
    assert str(caught.value) == (
        f"{tmp_path}: no checkpoint can be used: "
        "checkpoint-10.safetensors is damaged (its checksum does not match), "
        "checkpoint-5.safetensors is damaged (its checksum does not match)"
    )
    assert checkpoint_iterations(tmp_path) == [10, 5]


def test_an_unreadable_one_counts_as_damaged(tmp_path, caplog):
    filled(tmp_path, 5)
    path_of(tmp_path, 10).mkdir()
    assert CheckpointFolder(tmp_path).read()["iteration"] == 5
    assert "checkpoint-10.safetensors cannot be read (it is not a file)" in caplog.text


def test_a_partial_file_of_a_killed_process_is_ignored_and_then_removed(tmp_path):
    filled(tmp_path, 5)
    (tmp_path / "checkpoint-9.safetensors.kfac-run.tmp").write_bytes(b"half")
    assert CheckpointFolder(tmp_path).read()["iteration"] == 5
    filled(tmp_path, 10)
    assert names(tmp_path) == ["checkpoint-10.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint-6-keep.safetensors",
        "checkpoint-best.pt",
        "checkpoint-best.safetensors",
        "checkpoint-06.safetensors",
        "checkpoint-\u0666.safetensors",
        "checkpoint-6.safetensors.bak",
        "checkpoint-6.safetensors.tmp",
        "checkpoint-10.safetensors.tmp",
        "checkpoint-6.pt",
        "my-checkpoint-6.safetensors",
    ],
)
def test_a_file_that_this_program_did_not_name_so_is_never_deleted(tmp_path, name):
    (tmp_path / name).write_text("precious")
    filled(tmp_path, 5, 9, 10)
    assert (tmp_path / name).read_text() == "precious"
    assert checkpoint_iterations(tmp_path) == [10, 9]


def test_a_failed_write_leaves_all_that_was_there(tmp_path, monkeypatch):
    checkpoints = filled(tmp_path, 5, 10)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoints.write(15, tree_of(15))
    assert caught.value.filename == str(path_of(tmp_path, 15))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    assert checkpoints.latest == 10


def test_a_checkpoint_is_on_the_disk_before_it_is_renamed_and_before_others_are_deleted(
    tmp_path, monkeypatch
):
    checkpoints = filled(tmp_path, 5, 10)
    events = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def note_fsync(descriptor):
        events.append("flush " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def note_replace(source, target):
        events.append(f"rename {os.path.basename(source)}")
        replace(source, target)

    def note_unlink(path, **keywords):
        existed = os.path.exists(path)
        unlink(path, **keywords)
        events.extend([f"remove {os.path.basename(path)}"] if existed else [])

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(os, "unlink", note_unlink)
    checkpoints.write(15, tree_of(15))
    assert events == [
        "flush checkpoint-15.safetensors.kfac-run.tmp",
        "rename checkpoint-15.safetensors.kfac-run.tmp",
        f"flush {tmp_path.name}",
        "remove checkpoint-5.safetensors",
    ]


def test_a_link_with_the_name_of_the_temporary_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint-5.safetensors.kfac-run.tmp").symlink_to(victim)
    filled(folder, 5)
    assert victim.read_text() == "precious"
    assert names(folder) == ["checkpoint-5.safetensors"]
