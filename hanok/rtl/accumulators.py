"""The accumulators: int32 that the matrix unit reads and writes by rows, and the vector unit by lanes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix
from hanok.rtl._matrix_setup import accumulator_row_bits
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Write
from hanok.rtl._memory_crossbar import Crossbar
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import any_of, delayed, ones, rotate_down, rotate_up, split
from hanok.rtl.scratchpad import address_bits

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
    at most `lanes`, from `vector_element` on, whatever the ends of rows and banks. Rows come in the cycle
    after the request, as they were before that cycle's write; elements come four cycles after theirs, which
    is kept in registers first, so that they have the write of its cycle. There are zeros where there is no
    such row or element; elements behind `vector_size` may be anything.

    Elements follow one another in memories of a power of two of columns, so that the vector unit's address
    needs no division by `columns`; a row begins at its product with `columns`, a sum of few terms.

    `conflict`: the matrix unit touched a bank in the cycle after the vector unit's request for it; if both
    read, the matrix unit had the bank and the vector unit reads zeros there. `fault`: the matrix unit touched
    a row that does not exist, `vector_fault`: the vector unit an element. All come with the vector unit's
    data.
    """

    def __init__(self, matrix: Matrix, lanes: int) -> None:
        self.columns, self.lanes = matrix.columns, lanes
        rows = matrix.accumulator_banks * matrix.accumulator_rows
        words = 1 << (max(lanes, matrix.columns) - 1).bit_length()
        self.geometry = Geometry(
            banks=matrix.accumulator_banks,
            bank_cells=matrix.accumulator_rows * matrix.columns,
            columns=words,
            cell_bits=ACCUMULATOR_BITS,
            cell_masks=1,
            ring_parts=words,
        )
        self.element_bits = address_bits(rows * matrix.columns)
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
                "vector_fault": Out(1),
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
        geometry = self.geometry
        m.submodules.read = read = self._row_access(m, "read", self.read)
        m.d.comb += read.touched.eq(Const((1 << self.columns) - 1) << read.column)
        m.submodules.vector = vector = Access(geometry, "vector", self.element_bits, kept=True)
        m.d.comb += [vector.en.eq(self.vector_en), vector.address.eq(self.vector_element)]
        first = self.vector_element[: geometry.offset_bits]
        m.d.comb += vector.touched.eq(ones(self.vector_size, self.lanes) << first)
        m.submodules.write = write = self._row_access(m, "write", self.write)
        touched = Signal(2 * geometry.columns)
        m.d.comb += [touched.eq(self.write.mask << write.column), write.touched.eq(touched)]
        turned = rotate_up(
            m,
            self.write.data.as_value(),
            ACCUMULATOR_BITS,
            write.column,
            geometry.columns,
            "write_turned",
        )
        mask = any_of(split(touched, geometry.columns))
        crossbar = Crossbar(geometry, [read, vector], [Write(write, turned, mask)])
        m.submodules.crossbar = crossbar
        self._data(m, crossbar.data[0], read, 1, self.read.data.as_value())
        self._data(m, crossbar.data[1], vector, 3, self.vector_data)
        conflicts = vector.hit & (read.hit | write.hit)
        rows = Cat(read.fault, write.fault)
        flags = ((self.conflict, conflicts), (self.fault, rows), (self.vector_fault, Cat(vector.fault)))
        for flag, causes in flags:
            m.d.comb += flag.eq(delayed(m, delayed(m, causes, 1, "causes").any(), 2, "flag"))
        return m

    def _row_access(self, m: Module, name: str, port: Any) -> Access:
        access = Access(self.geometry, name, self.geometry.cell_number_bits, kept=False)
        m.d.comb += [access.en.eq(port.en), access.address.eq(_product(port.row, self.columns))]
        return access

    def _data(self, m: Module, found: Value, access: Access, cycles: int, given: Value) -> None:
        """Turn what comes `cycles` after its access."""
        amount = delayed(m, access.offset, cycles, f"{access.name}_amount")
        wanted = len(given) // ACCUMULATOR_BITS
        m.d.comb += given.eq(rotate_down(m, found, ACCUMULATOR_BITS, amount, wanted, f"{access.name}_turned"))


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
