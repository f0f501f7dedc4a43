"""The accumulators: int32 that the matrix unit reads and writes by rows, and the vector unit by lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix
from hanok.rtl._matrix_setup import accumulator_row_bits
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Write
from hanok.rtl._memory_crossbar import Crossbar
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import ones, rotate_down, rotate_up, split

ACCUMULATOR_BITS = 32


def accumulator_read_signature(matrix: Matrix) -> wiring.Signature:
    """Return a read port for rows of accumulators, of the reader."""
    return wiring.Signature(
        {
            "en": Out(1),
            "row": Out(accumulator_row_bits(matrix)),
            "data": In(data.ArrayLayout(signed(ACCUMULATOR_BITS), matrix.columns)),
        }
    )


def accumulator_write_signature(matrix: Matrix) -> wiring.Signature:
    """Return a write port for rows of accumulators, of the writer; a bit of the mask for each column."""
    return wiring.Signature(
        {
            "en": Out(1),
            "row": Out(accumulator_row_bits(matrix)),
            "data": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), matrix.columns)),
            "mask": Out(matrix.columns),
        }
    )


class Accumulators(wiring.Component):
    """Rows and elements are numbered over all banks: element = row * columns + column.

    The matrix unit reads and writes rows by `read` and `write`; the vector unit reads `vector_size` elements,
    at most `lanes`, from `vector_element` on, whatever the ends of rows and banks. Data come in the cycle
    after the request, with zeros where there is no such row or element; elements behind `vector_size` may be
    anything. A read sees the elements as they were before its cycle's write.

    Elements follow one another in memories of a power of two of columns, so that the vector unit's address
    needs no division by `columns`; a row begins at its product with `columns`, a sum of few terms.

    `conflict`: both sides touch one bank in this cycle; if both read, the matrix unit has the bank and the
    vector unit reads zeros there. `fault`: an access in this cycle touches what does not exist.
    """

    def __init__(self, matrix: Matrix, lanes: int) -> None:
        self.columns, self.lanes = matrix.columns, lanes
        rows = matrix.accumulator_banks * matrix.accumulator_rows
        self.geometry = Geometry(
            banks=matrix.accumulator_banks,
            bank_cells=matrix.accumulator_rows * matrix.columns,
            columns=1 << (max(lanes, matrix.columns) - 1).bit_length(),
            cell_bits=ACCUMULATOR_BITS,
            cell_masks=1,
        )
        self.element_bits = (rows * matrix.columns - 1).bit_length()
        super().__init__(
            {
                "read": In(accumulator_read_signature(matrix)),
                "write": In(accumulator_write_signature(matrix)),
                "vector_en": In(1),
                "vector_element": In(self.element_bits),
                "vector_size": In(range(lanes + 1)),
                "vector_data": Out(ACCUMULATOR_BITS * lanes),
                "conflict": Out(1),
                "fault": Out(1),
            }
        )

    @property
    def memory_bits(self) -> int:
        """Bits of all memories."""
        return self.geometry.memory_bits

    @property
    def memories(self) -> dict[int, int]:
        """How many memories of int32 there are of each depth."""
        depths = [depth for bank in self.geometry.depths for depth in bank if depth]
        return {depth: depths.count(depth) for depth in sorted(set(depths))}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.read = read = self._row_access(m, "read", self.read)
        m.d.comb += read.touched.eq(Const((1 << self.columns) - 1) << read.column)
        m.submodules.vector = vector = Access(self.geometry, "vector", self.element_bits)
        m.d.comb += [vector.en.eq(self.vector_en), vector.cell.eq(self.vector_element)]
        m.d.comb += vector.touched.eq(ones(self.vector_size, self.lanes) << vector.column)
        m.submodules.write = write = self._row_access(m, "write", self.write)
        mask = Signal(2 * self.geometry.columns)
        m.d.comb += mask.eq(Mux(self.write.en, self.write.mask << write.column, 0))
        m.d.comb += write.touched.eq(mask)
        values = split(self.write.data.as_value(), ACCUMULATOR_BITS)
        turned = rotate_up(m, values, write.column, self.geometry.columns, "write_turned")
        crossbar = Crossbar(self.geometry, [read, vector], [Write(write, turned, mask)])
        m.submodules.crossbar = crossbar
        self._data(m, crossbar.data[0], read, self.read.data.as_value())
        self._data(m, crossbar.data[1], vector, self.vector_data)
        m.d.comb += self.conflict.eq((vector.hit & (read.hit | write.hit)).any())
        m.d.comb += self.fault.eq(read.fault | vector.fault | write.fault)
        return m

    def _row_access(self, m: Module, name: str, port: Any) -> Access:
        access = Access(self.geometry, name, self.geometry.cell_number_bits)
        m.d.comb += [access.en.eq(port.en), access.cell.eq(_product(port.row, self.columns))]
        return access

    def _data(self, m: Module, found: Sequence[Value], access: Access, given: Value) -> None:
        amount = Signal(self.geometry.column_bits, name=f"{access.name}_amount", reset_less=True)
        m.d.sync += amount.eq(access.column)
        wanted = len(given) // ACCUMULATOR_BITS
        m.d.comb += given.eq(Cat(rotate_down(m, found, amount, wanted, f"{access.name}_turned")))


def _product(value: Value, factor: int) -> Value:
    """Return a product as a sum of shifted terms: a digit of the factor is -1, 0 or 1."""
    total: Value = Const(0, 1)
    shift = 0
    while factor:
        digit = 2 - factor % 4 if factor & 1 else 0
        if digit:
            term = value << shift
            total = total + term if digit > 0 else total - term
        factor = (factor - digit) // 2
        shift += 1
    return total
