"""A walk over the protobuf bytes of a model before they are parsed: structure, counts and tensor sizes.

Parsing expands some bytes a hundredfold (an empty message costs two bytes in the file), so a hostile file is
refused here, where only field headers are looked at. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from mmap import mmap

from hanok.errors import ModelError

MAX_FIELDS = 700_000
MAX_NESTING = 24
MAX_PACKED_BYTES = 256 << 20
MAX_OTHER_BYTES = 256 << 20
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message -> field number -> message of that field; fields that are not named hold payload.
_FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 8: "Entry", 14: "Entry", 20: "Training", 25: "Function", 26: "Entry"},
    "Graph": {
        1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value",
        14: "Annotation", 15: "Sparse", 16: "Entry",
    },
    "Node": {5: "Attribute", 9: "Entry", 10: "Entry"},
    "Attribute": {
        5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph",
        14: "Type", 15: "Type", 22: "Sparse", 23: "Sparse",
    },
    "Tensor": {3: "Entry", 13: "Entry", 16: "Entry"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Annotation": {2: "Entry"},
    "Value": {2: "Type", 4: "Entry"},
    "Type": {1: "TensorType", 4: "Wrapped", 5: "Map", 8: "TensorType", 9: "Wrapped"},
    "TensorType": {2: "Shape"},
    "Wrapped": {1: "Type"},
    "Map": {2: "Type"},
    "Shape": {1: "Entry"},
    "Training": {1: "Graph", 2: "Graph", 3: "Entry", 4: "Entry"},
    "Function": {7: "Node", 9: "Entry", 11: "Attribute", 12: "Value", 14: "Entry"},
    "Entry": {},
}  # fmt: skip
_TENSOR_PACKED = {4: 1, 5: 4, 7: 8, 10: 1, 11: 8}
"""Packed data fields of a tensor, and how many bytes one of theirs can grow to."""
_RAW_DATA = 9
_ITEM_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Bits of an element by TensorProto.DataType; absent: strings and types that are not known."""


@dataclass
class _Tally:
    fields: int = 0
    packed_bytes: int = 0
    other_bytes: int = 0


def check_wire(content: bytes | mmap, origin: str) -> None:
    """Refuse bytes that are no protobuf message, or one that would cost far more memory than its size."""
    try:
        _walk(content, 0, len(content), "Model", origin, _Tally(), 0)
    except IndexError:
        raise ModelError(
            f"{origin}: the file ends inside a field; it is truncated or no ONNX model"
        ) from None


def _walk(
    content: bytes | mmap, position: int, end: int, message: str, origin: str, tally: _Tally, depth: int
) -> None:
    """Walk one message; every nested message too."""
    if depth > MAX_NESTING:
        raise ModelError(f"{origin}: messages nested deeper than {MAX_NESTING}; no model needs that")
    nested = _FIELDS[message]
    is_tensor = message == "Tensor"
    sizes: list[int] = []
    data_type, raw_length = 0, -1
    while position < end:
        tally.fields += 1
        key, position = _varint(content, position, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ModelError(f"{origin}: a field with number 0; this is no ONNX model")
        if wire == _VARINT:
            value, position = _varint(content, position, end)
            if is_tensor and number == 1:
                sizes.append(value)
            elif is_tensor and number == 2:
                data_type = value
        elif wire == _BYTES:
            length, position = _varint(content, position, end)
            if length > end - position:
                raise ModelError(
                    f"{origin}: a field of {length} bytes where {end - position} are left; truncated?"
                )
            if length == 0:
                raw_length = 0 if is_tensor and number == _RAW_DATA else raw_length
            elif number in nested:
                _walk(content, position, position + length, nested[number], origin, tally, depth + 1)
            elif is_tensor and number == _RAW_DATA:
                raw_length = length
            elif is_tensor and number == 1:
                sizes += _varints(content, position, position + length, origin)
            elif is_tensor and number in _TENSOR_PACKED:
                tally.packed_bytes += length * _TENSOR_PACKED[number]
            else:
                tally.other_bytes += length
            position += length
        elif wire in (_FIXED32, _FIXED64):
            position += 4 if wire == _FIXED32 else 8
        else:
            raise ModelError(f"{origin}: wire type {wire}; this is no ONNX model")
        if tally.fields > MAX_FIELDS:
            raise ModelError(f"{origin}: more than {MAX_FIELDS} fields; allowed: at most that many")
    if position != end:
        raise ModelError(f"{origin}: a field goes past the end of its message; truncated?")
    _check_amounts(tally, origin)
    if raw_length >= 0:
        _check_raw_length(sizes, data_type, raw_length, origin)


def _check_amounts(tally: _Tally, origin: str) -> None:
    if tally.packed_bytes > MAX_PACKED_BYTES:
        raise ModelError(
            f"{origin}: tensors stored as numbers would take {tally.packed_bytes} bytes; allowed: "
            f"{MAX_PACKED_BYTES}; store them as raw_data"
        )
    if tally.other_bytes > MAX_OTHER_BYTES:
        raise ModelError(
            f"{origin}: {tally.other_bytes} bytes that are no tensor; allowed: {MAX_OTHER_BYTES}"
        )


def _check_raw_length(sizes: list[int], data_type: int, raw_length: int, origin: str) -> None:
    bits = _ITEM_BITS.get(data_type)
    if bits is None:
        return
    want = (math.prod(sizes) * bits + 7) // 8
    if want != raw_length and len(sizes) <= 64:
        shape = [size - (1 << 64) if size >> 63 else size for size in sizes]
        raise ModelError(f"{origin}: a tensor of shape {shape} needs {want} bytes; its data has {raw_length}")


def _varints(content: bytes | mmap, position: int, end: int, origin: str) -> list[int]:
    """The numbers of a packed field; a tensor has few dimensions."""
    values: list[int] = []
    while position < end:
        value, position = _varint(content, position, end)
        values.append(value)
        if len(values) > 1000:
            raise ModelError(f"{origin}: a tensor of more than 1000 dimensions")
    return values


def _varint(content: bytes | mmap, position: int, end: int) -> tuple[int, int]:
    value = content[position]
    position += 1
    if value < 128:
        return value, position
    value &= 127
    shift = 7
    while position < end and shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & ((1 << 64) - 1), position
        shift += 7
    raise IndexError("a number that does not end")
