"""Encode a whole stream: each instruction as its change from the last record, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.isa._packed import FORMAT_OF, FRESH_BIT, REGISTER_OF, WORD, PackedFormat
from hanok.isa.encoding import encode_record
from hanok.isa.table import BY_OPCODE, FLAG_FRESH, Field, Opcode

Row = tuple[Opcode, Mapping[str, Any]]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class _Changes:
    """The instructions of one register: header, bitmap and body words, and which of them are written."""

    members: npt.NDArray[np.int64]
    words: Words
    kept: npt.NDArray[np.bool_]


def encode_stream(rows: Iterable[Row]) -> bytes:
    """Encode instructions, given as for `encode`, each as short as it can be: fresh or as a change.

    A change is taken only where it is shorter. Raises ValueError, with the number of the instruction.
    """
    listed = list(rows)
    parts = [_changes(form, members, words) for form, members, words in _records(listed)]
    sizes = np.zeros(len(listed), np.int64)
    for part in parts:
        sizes[part.members] = part.kept.sum(axis=1)
    offset = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), WORD)
    for part in parts:
        size = sizes[part.members]
        begin = np.repeat(offset[part.members] - (np.cumsum(size) - size), size)
        out[begin + np.arange(len(begin))] = part.words[part.kept]
    return out.tobytes()


def _records(rows: Sequence[Row]) -> list[tuple[PackedFormat, npt.NDArray[np.int64], Words]]:
    """Of each register: its format, its instructions, and their records as [instructions, words]."""
    register = np.array([REGISTER_OF[opcode] for opcode, _ in rows], np.int64)
    place = np.zeros(len(rows), np.int64)
    found: dict[int, tuple[PackedFormat, npt.NDArray[np.int64], Words]] = {}
    groups: dict[tuple[Opcode, tuple[str, ...]], list[int]] = {}
    for index, (opcode, values) in enumerate(rows):
        groups.setdefault((opcode, tuple(values)), []).append(index)
    for (opcode, names), indices in groups.items():
        number, form = REGISTER_OF[opcode], FORMAT_OF[opcode]
        if number not in found:
            members = np.flatnonzero(register == number)
            place[members] = np.arange(len(members))
            found[number] = (form, members, np.zeros((len(members), form.record_words), WORD))
        records = _group(opcode, names, [rows[index][1] for index in indices])
        if records is None:
            records = _one_by_one(opcode, rows, indices)
        found[number][2][place[indices]] = records.view(WORD).reshape(len(indices), -1)
    return list(found.values())


def _group(
    opcode: Opcode, names: tuple[str, ...], group: Sequence[Mapping[str, Any]]
) -> npt.NDArray[np.void] | None:
    """Records of instructions that name the same fields; None if one of them needs a closer look."""
    records = np.zeros(len(group), FORMAT_OF[opcode].dtype)
    fields = {field.name: field for field in BY_OPCODE[opcode].format.fields[1:]}
    for name in names:
        column = _column(fields[name], [values[name] for values in group]) if name in fields else None
        if column is None:
            return None
        records[name] = column
    records["opcode"] = opcode
    return records


def _column(field: Field, items: Sequence[Any]) -> npt.NDArray[Any] | None:
    """The values of a field as an array that fits it; None where that is not plain to see."""
    try:
        given = np.array(items)
    except (ValueError, OverflowError):
        return None
    wanted, shape = np.dtype(field.code), (len(items), field.count)
    if given.ndim == 1:
        given = given[:, None]
    if given.ndim != 2 or given.shape[1] not in (1, field.count) or given.dtype.kind not in "biuf":
        return None
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            column = given.astype(wanted)
        if np.any(np.isinf(column) & ~np.isinf(given)):
            return None
    else:
        info = np.iinfo(wanted)
        high = FLAG_FRESH - 1 if field.name == "flags" else int(info.max)
        if given.dtype.kind == "f" or not int(info.min) <= given.min() <= given.max() <= high:
            return None
        column = given.astype(wanted)
    column = np.broadcast_to(column, shape)
    return column if field.count > 1 else column[:, 0]


def _one_by_one(opcode: Opcode, rows: Sequence[Row], indices: list[int]) -> npt.NDArray[np.void]:
    """Records of irregular instructions, or the error that says what is wrong with the first bad one."""
    parts = []
    for index in indices:
        try:
            parts.append(encode_record(opcode, rows[index][1]))
        except (ValueError, TypeError) as error:
            raise ValueError(f"instruction {index}: {error}") from None
    return np.frombuffer(b"".join(parts), FORMAT_OF[opcode].dtype)


def _changes(form: PackedFormat, members: npt.NDArray[np.int64], records: Words) -> _Changes:
    """Choose for each record between the words that changed and, fresh, the words that are not zero."""
    count, body = len(records), records[:, 1 : 1 + form.body_words]
    before = np.zeros_like(body)
    before[1:] = body[:-1]
    changed, filled = body != before, body != 0
    fresh = filled.sum(axis=1) <= changed.sum(axis=1)
    chosen = np.where(fresh[:, None], filled, changed)
    heads = records[:, :1] | np.where(fresh, FRESH_BIT, 0).astype(WORD)[:, None]
    bits = np.zeros((count, 8 * WORD.itemsize * form.bitmap_words), bool)
    bits[:, : form.body_words] = chosen
    bitmap = np.packbits(bits, axis=1, bitorder="little").view(WORD)
    always = np.ones((count, 1 + form.bitmap_words), bool)
    return _Changes(members, np.hstack([heads, bitmap, body]), np.hstack([always, chosen]))
