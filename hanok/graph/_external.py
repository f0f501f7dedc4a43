"""External tensor data: locations are checked before a byte is read, and only inside the model's folder."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from hanok.errors import ModelError
from hanok.graph._wire import _ITEM_BITS

MAX_TOTAL_BYTES = (1 << 31) - 1


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every TensorProto of the model: initialisers and attributes, also of subgraphs and functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR or attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def load_external(model: ModelProto, folder: Path | None, origin: str) -> None:
    """Read every external tensor into its raw_data."""
    total = 0
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        if folder is None:
            raise ModelError(
                f"{origin}: tensor '{tensor.name}' lies in another file; load the model by its path"
            )
        content = _read(tensor, folder, origin, MAX_TOTAL_BYTES - total)
        total += len(content)
        tensor.raw_data = content
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _read(tensor: TensorProto, folder: Path, origin: str, budget_bytes: int) -> bytes:
    where = f"{origin}: external data of tensor '{tensor.name}'"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    want = _wanted_bytes(tensor, where)
    offset = _number(entries, "offset", 0, where)
    length = _number(entries, "length", want, where)
    if length != want:
        raise ModelError(
            f"{where}: {length} bytes are given for shape {list(tensor.dims)}, which needs {want}"
        )
    if want > budget_bytes:
        raise ModelError(f"{where}: the model's tensors take more than {MAX_TOTAL_BYTES} bytes")
    path = _checked_path(entries.get("location", ""), folder, where)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ModelError(f"{where}: '{path.name}' cannot be opened: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{where}: '{path.name}' is no regular file")
        if found.st_nlink > 1:
            raise ModelError(
                f"{where}: '{path.name}' is a hard link ({found.st_nlink} names), maybe of any file; copy it"
            )
        if offset + length > found.st_size:
            raise ModelError(
                f"{where}: bytes {offset}..{offset + length} are wanted, '{path.name}' has {found.st_size}"
            )
        file.seek(offset)
        return file.read(length)


def _wanted_bytes(tensor: TensorProto, where: str) -> int:
    bits = _ITEM_BITS.get(tensor.data_type)
    if bits is None or any(size < 0 for size in tensor.dims):
        raise ModelError(
            f"{where}: element type {tensor.data_type} with shape {list(tensor.dims)} is not allowed"
        )
    return (math.prod(int(size) for size in tensor.dims) * bits + 7) // 8


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"{where}: {key} {text[:40]!r}; allowed: a whole number that is not negative")
    return int(text)


def _checked_path(location: str, folder: Path, where: str) -> Path:
    """The file inside `folder`; refuse absolute paths, '..', symbolic links on the way."""
    parts = PurePosixPath(location).parts
    outside = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor or "\\" in location
    if not location or outside or ".." in parts or "\0" in location or not parts:
        raise ModelError(
            f"{where}: location {location[:80]!r}; allowed: a relative path inside the model's folder, "
            "without '..'"
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ModelError(
                f"{where}: '{location[:80]}' goes through a symbolic link; put the file itself there"
            )
    if not path.is_file():
        raise ModelError(f"{where}: '{location[:80]}' is no file in the model's folder")
    return path
