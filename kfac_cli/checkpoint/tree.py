"""A tree of tensors and plain values in one file that holds no code and knows its checksum.

The file is in the safetensors format: the header's length (8 bytes, little-endian), a JSON header
with name, dtype, shape and place of every tensor, and their values. The tree itself, a reference
in the place of every tensor, is JSON in the header's metadata. The last tensor, `sha256`, is the
checksum of all bytes before it.

Values, strides and sharing come back as they were: a matrix product may round differently for
another layout, and what was one tensor is one tensor again.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

Tree = Any
"""None, numbers, strings and tensors, in lists and in dicts whose keys are strings."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
REFERENCE = "$tensor"
CHECKSUM = "sha256"
METADATA = "__metadata__"
LENGTH_BYTES = 8
PIECE = 1 << 20

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a file whose checksum is right, but which `write_tree` did not write, can raise."""


class DamagedFileError(Exception):
    """A file that is not, or no longer, what `write_tree` wrote."""


def write_tree(file: BinaryIO, tree: Tree) -> None:
    """Write a tree; tuples become lists.

    Raises TypeError for anything that a tree cannot hold, ValueError for a key that starts with $.
    """
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(tree, "", tensors, {})
    digest = hashlib.sha256()
    header = _header(plain, tensors)
    for piece in (memoryview(header), *map(_memory, tensors.values())):
        file.write(piece)
        digest.update(piece)
    file.write(digest.digest())


def read_tree(path: Path) -> Tree:
    """The tree in a file, its tensors on the CPU.

    Raises DamagedFileError, saying how, for anything but a whole file; OSError if it cannot be
    read. No code is executed, whatever the file contains.
    """
    with path.open("rb") as file:
        _verify(file)
        try:
            return _read(file)
        except UNREADABLE as error:
            raise DamagedFileError(f"not a checkpoint of kfac-run ({error})") from error


def _without_tensors(
    tree: Tree, place: str, tensors: dict[str, Tensor], seen: dict[int, str]
) -> Tree:
    """The tree with references for tensors, which are put into `tensors`, each once."""
    if isinstance(tree, Tensor):
        if place in (CHECKSUM, METADATA):
            raise ValueError(f"{place}: is a name that the format itself uses")
        name = seen.setdefault(id(tree), place)
        tensors[name] = tree
        return {REFERENCE: name, **_layout(tree)}
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                raise TypeError(f"{place}: has the key {key!r}, which is no string")
            if key.startswith("$"):
                raise ValueError(f"{place}: has the key {key!r}, which starts with $")
        return {
            key: _without_tensors(value, f"{place}/{key}" if place else key, tensors, seen)
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [
            _without_tensors(value, f"{place}/{i}", tensors, seen) for i, value in enumerate(tree)
        ]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"{place}: a {type(tree).__name__} cannot be kept")


def _layout(tensor: Tensor) -> dict[str, list[int]]:
    """Shape and strides of a tensor that is dense, but not in the order of its shape."""
    shape, stride = list(tensor.shape), list(tensor.stride())
    if stride == _row_major(shape) or not _is_dense(shape, stride):
        return {}
    return {"shape": shape, "stride": stride}


def _row_major(shape: list[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def _is_dense(shape: list[int], stride: list[int]) -> bool:
    """Whether the elements fill a stretch of memory, each place once."""
    expected = 1
    for step, size in sorted((s, n) for s, n in zip(stride, shape, strict=True) if n != 1):
        if step != expected:
            return False
        expected *= size
    return True


def _memory(tensor: Tensor) -> memoryview:
    """The values in the order in which they lie in memory."""
    if tensor.numel() == 0:
        return memoryview(b"")
    if _layout(tensor):
        tensor = tensor.as_strided((tensor.numel(),), (1,))
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.numpy().data.cast("B")


def _header(plain: Tree, tensors: dict[str, Tensor]) -> bytes:
    entries: dict[str, Any] = {METADATA: {"tree": json.dumps(plain)}}
    end = 0
    for name, tensor in tensors.items():
        shape = [tensor.numel()] if _layout(tensor) else list(tensor.shape)
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
    size = hashlib.sha256().digest_size
    entries[CHECKSUM] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)  # so that the values are aligned in the file
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _verify(file: BinaryIO) -> None:
    """Compare the checksum, and go back to the beginning."""
    digest = hashlib.sha256()
    left = file.seek(0, 2) - digest.digest_size
    file.seek(0)
    if left < LENGTH_BYTES:
        raise DamagedFileError("it is cut short")
    for size in _pieces(left):
        digest.update(file.read(size))
    if file.read() != digest.digest():
        raise DamagedFileError("its checksum does not match")
    file.seek(0)


def _pieces(total: int) -> Iterator[int]:
    for start in range(0, total, PIECE):
        yield min(PIECE, total - start)


def _read(file: BinaryIO) -> Tree:
    size = file.seek(0, 2)
    file.seek(0)
    start = LENGTH_BYTES + int.from_bytes(file.read(LENGTH_BYTES), "little")
    if start > size:
        raise ValueError("its header is longer than the file")
    header = json.loads(file.read(start - LENGTH_BYTES))
    plain = json.loads(header.pop(METADATA)["tree"])
    flat = {name: _read_tensor(file, start, size, entry) for name, entry in header.items()}
    return _with_tensors(plain, flat, {})


def _read_tensor(file: BinaryIO, start: int, size: int, entry: dict[str, Any]) -> Tensor:
    shape, (first, last) = entry["shape"], entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    count = math.prod(shape)
    fits = 0 <= first <= last <= size - start and last - first == count * dtype.itemsize
    if not fits or any(n < 0 for n in shape):
        raise ValueError("a tensor's shape does not fit its place")
    tensor = torch.empty(shape, dtype=dtype)
    if count:
        file.seek(start + first)
        file.readinto(tensor.view(-1).numpy().data.cast("B"))  # type: ignore[attr-defined]
    return tensor


def _with_tensors(plain: Tree, flat: dict[str, Tensor], known: dict[str, Tensor]) -> Tree:
    """The tree with tensors for references, one for each name."""
    if isinstance(plain, list):
        return [_with_tensors(value, flat, known) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if REFERENCE not in plain:
        return {key: _with_tensors(value, flat, known) for key, value in plain.items()}
    name = plain[REFERENCE]
    if name not in known:
        known[name] = _laid_out(flat[name], plain)
    return known[name]


def _laid_out(tensor: Tensor, reference: dict[str, Any]) -> Tensor:
    if "stride" not in reference:
        return tensor
    shape, stride = reference["shape"], reference["stride"]
    if math.prod(shape) != tensor.numel() or not _is_dense(shape, stride):
        raise ValueError("a tensor's strides do not fit")
    return tensor.as_strided(shape, stride)
