"""Weights in safetensors files, memory-mapped and not trusted: every offset is checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ModelError

MAX_HEADER_BYTES = 16 << 20
"""Room for a hundred thousand tensors; the format's own limit of 100 MB would unfold to gigabytes."""
MAX_AXES = 8
MAX_JSON_BYTES = 64 << 20
MAX_SHARDS = 1024
INDEX_NAME = "model.safetensors.index.json"
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
"""Bytes of an element, by the format's names of types."""
_READ_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1"}
"""Types that weights may have, and how NumPy reads them."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """One tensor of a file; `start` counts from the file's first byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


class WeightFile:
    """One .safetensors file: its header checked, its tensors mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = _entries(path)
        self._content: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, "r")

    def stored(self, name: str) -> npt.NDArray[Any]:
        """The tensor's elements as they lie in the file; BF16 as its 16 bits."""
        entry = self.entries[name]
        kind = _READ_AS.get(entry.dtype)
        if kind is None:
            raise ModelError(
                f"{self.path}: tensor '{name}' has elements of type {entry.dtype}; allowed for weights: "
                f"{', '.join(_READ_AS)}"
            )
        raw = self._content[entry.start : entry.start + entry.size_bytes]
        return raw.view(kind).reshape(entry.shape)


class Weights:
    """The tensors of a model's folder by name, whichever files they lie in."""

    def __init__(self, folder: Path, files: Sequence[WeightFile]) -> None:
        self.folder = folder
        self._homes: dict[str, WeightFile] = {}
        for file in files:
            for name in file.entries:
                if name in self._homes:
                    raise ModelError(
                        f"{file.path}: tensor '{name}' is also in {self._homes[name].path.name}; each tensor "
                        "belongs to one file"
                    )
                self._homes[name] = file

    def __contains__(self, name: str) -> bool:
        return name in self._homes

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that must be there."""
        return self._home(name).entries[name].shape

    def read(self, name: str) -> Floats:
        """A whole tensor in float32."""
        return self._real(name, self._home(name).stored(name), None)

    def rows(self, name: str, indices: Sequence[int]) -> Floats:
        """Rows of a matrix in float32; nothing else is read from the file."""
        chosen = np.asarray(indices, np.int64)
        return self._real(name, self._home(name).stored(name)[chosen], chosen)

    def _home(self, name: str) -> WeightFile:
        if name not in self._homes:
            raise ModelError(f"{self.folder}: no file has tensor '{name}', which config.json asks for")
        return self._homes[name]

    def _real(self, name: str, stored: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None) -> Floats:
        if self._home(name).entries[name].dtype == "BF16":
            return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        real: Floats = stored.astype(np.float32)
        if stored.dtype == np.int8:
            scale = self._channel_scale(name)
            real *= scale if rows is None else scale[rows]
        return real

    def _channel_scale(self, name: str) -> Floats:
        """The scale of each row of an int8 matrix, in a tensor beside it, as [rows, 1]."""
        beside = f"{name}_scale"
        if beside not in self._homes:
            raise ModelError(
                f"{self.folder}: tensor '{name}' is int8, but there is no '{beside}' with a scale for each "
                "row"
            )
        scale, count = self.read(beside), self.shape(name)[0]
        if scale.size != count:
            raise ModelError(
                f"{self.folder}: tensor '{beside}' has shape {list(scale.shape)}; allowed: [{count}] or "
                f"[{count}, 1]"
            )
        return scale.reshape(count, *[1] * (len(self.shape(name)) - 1))


def open_weights(folder: Path) -> Weights:
    """Open the weights of a folder: the shards that an index names, or the only .safetensors file."""
    index = folder / INDEX_NAME
    if index.exists():
        return _open_shards(folder, index)
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise ModelError(
            f"{folder}: {len(found)} .safetensors files and no {INDEX_NAME}; allowed: one file, or shards "
            "with their index"
        )
    return Weights(folder, [WeightFile(found[0])])


def _open_shards(folder: Path, index: Path) -> Weights:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(v, str) for v in places.values()):
        raise ModelError(f"{index}: no 'weight_map' from names of tensors to names of files")
    names = sorted(set(places.values()))
    if len(names) > MAX_SHARDS:
        raise ModelError(f"{index}: {len(names)} shards; allowed: at most {MAX_SHARDS}")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{index}: shard '{name}' is no .safetensors file of this folder")
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: shard {name} is missing, which {INDEX_NAME} names")
    files = {name: WeightFile(folder / name) for name in names}
    for tensor, name in places.items():
        if tensor not in files[name].entries:
            raise ModelError(f"{folder / name}: tensor '{tensor}' is missing, which {INDEX_NAME} puts there")
    return Weights(folder, list(files.values()))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; keys may not repeat."""
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size} bytes; allowed: at most {MAX_JSON_BYTES}")
        return _parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None


def _parse_object(content: bytes, origin: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ModelError(f"{origin}: name '{twice}' stands there twice")
        return found

    try:
        parsed = json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ModelError(f"{origin}: not JSON in UTF-8: {str(error)[:120]}") from None
    if not isinstance(parsed, dict):
        raise ModelError(f"{origin}: not a JSON object")
    return parsed


def _entries(path: Path) -> dict[str, Entry]:
    """The checked header: every tensor inside the file, none over another, and no byte between them."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
                raise ModelError(
                    f"{path}: truncated, or no safetensors file: {size} bytes, header of {length}"
                )
            if length > MAX_HEADER_BYTES:
                raise ModelError(f"{path}: header of {length} bytes; allowed: at most {MAX_HEADER_BYTES}")
            content = file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    header = _parse_object(content, f"{path}: header")
    header.pop(_METADATA, None)
    start = _LENGTH_BYTES + length
    entries = {name: _entry(path, name, record, start, size) for name, record in header.items()}
    end = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].size_bytes)):
        if entry.start != end:
            word = "overlaps the one before it" if entry.start < end else "leaves a hole before it"
            raise ModelError(f"{path}: tensor '{name}' {word} (byte {entry.start - start} of the data)")
        end = entry.start + entry.size_bytes
    if end != size:
        raise ModelError(f"{path}: {size - end} bytes behind the last tensor, which belong to none")
    return entries


def _entry(path: Path, name: str, record: Any, start: int, size: int) -> Entry:
    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise ModelError(f"{path}: tensor '{name}': allowed: an object of dtype, shape and data_offsets")
    dtype, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise ModelError(f"{path}: tensor '{name}': type {str(dtype)[:40]} is not known")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise ModelError(f"{path}: tensor '{name}': shape and data_offsets are lists of whole numbers from 0")
    if len(shape) > MAX_AXES:
        raise ModelError(f"{path}: tensor '{name}': {len(shape)} axes; allowed: at most {MAX_AXES}")
    begin, end = offsets
    if end > size - start or begin > end:
        raise ModelError(
            f"{path}: tensor '{name}': bytes {begin}..{end} are outside the {size - start} bytes of the "
            "data; the file is truncated or damaged"
        )
    if prod(shape) * _ITEM_BYTES[dtype] != end - begin:
        raise ModelError(
            f"{path}: tensor '{name}': {end - begin} bytes do not hold {dtype} elements of shape {shape[:8]}"
        )
    return Entry(dtype, tuple(shape), start + begin, end - begin)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
