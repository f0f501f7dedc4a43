"""Records to JSON and back, by the types of their fields: what a program file's header holds."""

from __future__ import annotations

import reprlib
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

from hanok.errors import ProgramError
from hanok.machine import Chip

MAX_DIMENSIONS = 32
_ARRAY_KINDS = "biuf"


def pack(value: Any, blobs: list[bytes]) -> Any:
    """Turn a record into what JSON can hold; bytes and arrays go to `blobs` and leave their place.

    Every record is tagged with its class name.
    """
    match value:
        case bool() | str() | None:
            return value
        case bytes():
            return _place(value, blobs)
        case Enum():
            return value.value
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return float(value)
        case np.ndarray():
            return _pack_array(value, blobs)
        case tuple():
            return [pack(item, blobs) for item in value]
        case dict():
            return {key: pack(value[key], blobs) for key in sorted(value)}
        case Chip():
            return value.model_dump()
    assert is_dataclass(value), f"no form in a program file for {type(value)}"
    assert not isinstance(value, type), f"{value} is a class"
    packed = {entry.name: pack(getattr(value, entry.name), blobs) for entry in fields(value)}
    return {"record": type(value).__name__} | packed


def _place(content: bytes, blobs: list[bytes]) -> list[int]:
    offset = sum(map(len, blobs))
    blobs.append(content)
    return [offset, len(content)]


def _pack_array(array: np.ndarray[Any, Any], blobs: list[bytes]) -> dict[str, Any]:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise ProgramError(f"an array of {array.dtype} has no form in a program file; allowed: numbers")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"dtype": little.dtype.str, "shape": list(array.shape), "data": _place(little.tobytes(), blobs)}


@cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


def unpack(form: Any, content: Any, blobs: memoryview, where: str) -> Any:
    """Build a value of type `form` from JSON content; raise ProgramError that names the field."""
    if form in (int, str, bool, float):
        if type(content) is not form:
            raise _misfit(where, form.__name__, content)
        return content
    if form is bytes:
        return bytes(_blob(content, blobs, where))
    if form is Chip:
        _require(isinstance(content, dict), where, "a chip", content)
        return Chip.from_dict(content, where)
    origin = typing.get_origin(form)
    if origin is tuple:
        return _unpack_tuple(typing.get_args(form), content, blobs, where)
    if origin is dict:
        _require(isinstance(content, dict), where, "a table", content)
        value_form = typing.get_args(form)[1]
        return {key: unpack(value_form, content[key], blobs, f"{where}.{key[:40]}") for key in content}
    if origin is np.ndarray:
        return _unpack_array(content, blobs, where)
    if origin in (types.UnionType, typing.Union):
        return _unpack_union(typing.get_args(form), content, blobs, where)
    if isinstance(form, type) and issubclass(form, Enum):
        _require(content in [member.value for member in form], where, form.__name__, content)
        return form(content)
    assert isinstance(form, type), f"{where}: no reader for {form}"
    return _unpack_record(form, content, blobs, where)


def _misfit(where: str, wanted: str, found: Any) -> ProgramError:
    return ProgramError(f"{where}: {wanted} wanted, found {reprlib.repr(found)[:80]}")


def _require(holds: bool, where: str, wanted: str, found: Any) -> None:
    if not holds:
        raise _misfit(where, wanted, found)


def _blob(content: Any, blobs: memoryview, where: str) -> memoryview:
    pair = isinstance(content, list) and len(content) == 2 and all(type(number) is int for number in content)
    _require(
        pair and 0 <= content[0] <= content[0] + content[1] <= len(blobs), where, "a range of bytes", content
    )
    _require(content[1] >= 0, where, "a range of bytes", content)
    return blobs[content[0] : content[0] + content[1]]


def _unpack_tuple(forms: tuple[Any, ...], content: Any, blobs: memoryview, where: str) -> tuple[Any, ...]:
    _require(isinstance(content, list), where, "a list", content)
    if len(forms) == 2 and forms[1] is Ellipsis:
        forms = (forms[0],) * len(content)
    _require(len(forms) == len(content), where, f"{len(forms)} items", content)
    return tuple(
        unpack(form, item, blobs, f"{where}[{number}]")
        for number, (form, item) in enumerate(zip(forms, content, strict=True))
    )


def _unpack_array(content: Any, blobs: memoryview, where: str) -> np.ndarray[Any, Any]:
    _require(
        isinstance(content, dict) and set(content) == {"dtype", "shape", "data"}, where, "an array", content
    )
    name, shape = content["dtype"], content["shape"]
    known = isinstance(name, str) and len(name) <= 4 and name[1:2] in _ARRAY_KINDS
    _require(known and name[2:] in ("1", "2", "4", "8"), where, "a type of number", name)
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise _misfit(where, "a type of number", name) from None
    extents = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
    _require(extents and all(type(size) is int and size >= 0 for size in shape), where, "a shape", shape)
    data = _blob(content["data"], blobs, where)
    elements = 1
    for size in shape:
        elements *= size
    _require(elements * dtype.itemsize == len(data), where, f"{elements} elements of {name}", len(data))
    return np.frombuffer(data, dtype).reshape(shape)


def _unpack_union(forms: tuple[Any, ...], content: Any, blobs: memoryview, where: str) -> Any:
    if type(None) in forms:
        if content is None:
            return None
        forms = tuple(form for form in forms if form is not type(None))
    if len(forms) == 1:
        return unpack(forms[0], content, blobs, where)
    by_name = {form.__name__: form for form in forms}
    tag = content.get("record") if isinstance(content, dict) else None
    _require(isinstance(tag, str) and tag in by_name, where, " or ".join(by_name), tag)
    return unpack(by_name[str(tag)], content, blobs, where)


def _unpack_record(form: type, content: Any, blobs: memoryview, where: str) -> Any:
    _require(isinstance(content, dict), where, form.__name__, content)
    hints = _hints(form)
    wanted = {"record", *(entry.name for entry in fields(form))}
    _require(
        set(content) == wanted and content["record"] == form.__name__,
        where,
        form.__name__,
        list(content)[:20],
    )
    return form(
        **{
            name: unpack(hints[name], content[name], blobs, f"{where}.{name}")
            for name in hints
            if name in content
        }
    )
