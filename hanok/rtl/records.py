"""Instruction records as Amaranth layouts, from the instruction table."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import ShapeLike, signed, unsigned
from amaranth.lib import data

from hanok.isa.table import Field, Format


def record_layout(table_format: Format) -> data.StructLayout:
    """Return the layout of a format's record: its fields in table order, without the padding behind them."""
    return data.StructLayout({field.name: _shape(field) for field in table_format.fields})


def _shape(field: Field) -> ShapeLike:
    """float32 fields are their 32 bits."""
    bits = 8 * np.dtype(field.code).itemsize
    one = signed(bits) if np.dtype(field.code).kind == "i" else unsigned(bits)
    return one if field.count == 1 else data.ArrayLayout(one, field.count)
