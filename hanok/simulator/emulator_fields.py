"""Decoded instructions as int64 columns in table order, so that kernels index plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.isa import Decoded
from hanok.isa.table import DMA, MATRIX, VECTOR, VECTOR_TABLE, Format

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


def columns_of(layout: Format) -> dict[str, int]:
    """Return the first column of each field; float fields have columns of their own array."""
    positions: dict[str, int] = {}
    integers = floats = 0
    for field in layout.fields:
        if field.code == "<f4":
            positions[field.name] = floats
            floats += field.count
        else:
            positions[field.name] = integers
            integers += field.count
    return positions


@dataclass(frozen=True)
class Fields:
    """Field values of one format: int64 [instructions, columns] and float32 [instructions, float columns]."""

    column: dict[str, int]
    integers: Int64Array
    floats: Float32Array

    def __getitem__(self, name: str) -> Int64Array:
        """Every instruction's value of an integer field (the first element of a repeated one)."""
        return self.integers[:, self.column[name]]

    def repeated(self, name: str, count: int) -> Int64Array:
        """Every instruction's values of a repeated integer field [instructions, count]."""
        first = self.column[name]
        return self.integers[:, first : first + count]


def _fields_of(layout: Format, records: npt.NDArray[np.void]) -> Fields:
    count = len(records)
    integers = [
        records[field.name].reshape(count, field.count) for field in layout.fields if field.code != "<f4"
    ]
    floats = [
        records[field.name].reshape(count, field.count) for field in layout.fields if field.code == "<f4"
    ]
    return Fields(
        columns_of(layout),
        np.concatenate([part.astype(np.uint64).view(np.int64) for part in _widened(integers)], axis=1),
        np.concatenate([part.astype(np.float32) for part in floats], axis=1)
        if floats
        else np.zeros((count, 0), np.float32),
    )


def _widened(parts: list[npt.NDArray[np.generic]]) -> list[npt.NDArray[np.generic]]:
    return [part if part.dtype.kind == "u" else part.astype(np.int64).view(np.uint64) for part in parts]


def extract_fields(decoded: Decoded) -> dict[str, Fields]:
    """Return the columns of every format; an unsigned 64-bit address past 2**63 turns negative."""
    layouts = (DMA, MATRIX, VECTOR, VECTOR_TABLE)
    return {layout.name: _fields_of(layout, decoded.records[layout.name]) for layout in layouts}
