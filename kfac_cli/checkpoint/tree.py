"""A tree of tensors and plain values in one safetensors file, which contains no code.

The header's metadata hold `tree`: the tree as JSON, a reference for every tensor. The last tensor,
`sha256`, is the checksum of all bytes before it. The safetensors library only reads: its `save`
makes two or three copies of all values, and its `save_file` renames the file by itself and hides
the number of a system error.

Values, strides and sharing are restored exactly: a matrix product may round differently for another
layout, and a tensor that occurs twice is one tensor again.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kfac_cli.files import open_file

Tree = Any
"""None, numbers, strings and tensors, in lists and in dicts whose keys are strings."""

NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
REFERENCE = "$tensor"
DIGEST_SIZE = hashlib.sha256().digest_size

UNREADABLE = (LookupError, OverflowError, RuntimeError, SafetensorError, TypeError, ValueError)
"""What reading a file whose checksum is right, but which `write_tree` did not write, can raise."""


class DamagedFileError(Exception):
    """A file that differs from what `write_tree` wrote."""


def write_tree(file: BinaryIO, tree: Tree) -> None:
    """Write a tree; tuples become lists.

    Raises TypeError for anything that a tree cannot hold, ValueError for a key that starts with $.
    """
    digest = hashlib.sha256()
    for piece in _pieces(tree):
        file.write(piece)
        digest.update(piece)
    file.write(digest.digest())


def read_tree(path: Path) -> Tree:
    """The tree in a file, its tensors on the CPU.

    Raises DamagedFileError, with the reason, for a file that is damaged or of another kind, OSError
    if it cannot be read or is not a file. No code is executed, whatever the file contains.
    """
    with open_file(path) as opened:
        _verify(opened.read())
    known: dict[str, Tensor] = {}

    def resolved(found: dict[str, Any]) -> Any:
        """A dict itself, or the tensor that it refers to, one for each name."""
        if REFERENCE not in found:
            return found
        name = found[REFERENCE]
        if name not in known:
            known[name] = _laid_out(file.get_tensor(name), found)
        return known[name]

    try:
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["tree"], object_hook=resolved)
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0]  # torch may append a trace of its C++ code
        raise DamagedFileError(f"not a checkpoint of kfac-run ({reason})") from error


def _pieces(tree: Tree) -> Iterator[bytes | memoryview]:
    """The bytes of the file without the checksum."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    entries: dict[str, Any] = {
        "__metadata__": {"tree": json.dumps(_without_tensors(tree, "", tensors))}
    }
    end = 0
    for name, tensor in tensors.values():
        shape = tensor.shape if tensor.is_contiguous() else [tensor.numel()]
        start, end = end, end + tensor.nbytes
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
    place = [end, end + DIGEST_SIZE]
    entries["sha256"] = {"dtype": "U8", "shape": [DIGEST_SIZE], "data_offsets": place}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)  # so that the values are aligned in the file
    yield len(header).to_bytes(8, "little") + header
    for _, tensor in tensors.values():  # the values in memory order
        yield tensor.as_strided([tensor.numel()], [1]).cpu().numpy().data


def _without_tensors(tree: Tree, place: str, tensors: dict[int, tuple[str, Tensor]]) -> Tree:
    """The tree with references for tensors, of which `tensors` gets a name and a dense form."""
    if isinstance(tree, Tensor):
        if tree.dtype not in NAMES:
            raise TypeError(f"{place}: a tensor of {tree.dtype} cannot be saved")
        stride = _dense_stride(tree)
        dense = tree.detach() if tree.stride() == stride else tree.detach().clone()
        name, _ = tensors.setdefault(id(tree), (f"{len(tensors)}:{place}", dense))
        return {REFERENCE: name, "shape": tree.shape, "stride": stride}
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                raise TypeError(f"{place}: has the key {key!r}, which is no string")
            if key.startswith("$"):
                raise ValueError(f"{place}: has the key {key!r}, which starts with $")
        below = f"{place}/" if place else ""
        return {key: _without_tensors(v, f"{below}{key}", tensors) for key, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_tensors(v, f"{place}/{i}", tensors) for i, v in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"{place}: a {type(tree).__name__} cannot be saved")


def _verify(data: bytes) -> None:
    if hashlib.sha256(memoryview(data)[:-DIGEST_SIZE]).digest() != data[-DIGEST_SIZE:]:
        raise DamagedFileError("its checksum does not match")


def _laid_out(tensor: Tensor, reference: dict[str, Any]) -> Tensor:
    """A copy with the shape and strides that a reference gives, if any."""
    shape = reference.get("shape", tensor.shape)
    copy = tensor.clone().as_strided(shape, reference.get("stride", tensor.stride()))
    if copy.numel() != tensor.numel() or copy.stride() != _dense_stride(copy):
        raise ValueError("a tensor's strides do not fit")
    return copy


def _dense_stride(tensor: Tensor) -> tuple[int, ...]:
    """The strides that a copy without gaps has: those of the tensor itself if it has none."""
    return torch.empty_like(tensor, device="meta").stride()
