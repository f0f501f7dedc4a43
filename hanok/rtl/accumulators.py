"""The accumulators: int32 that the matrix unit reads and writes by rows, and the vector unit by lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Bank, Write, gather
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import rotate_down, rotate_up, split

ACCUMULATOR_BITS = 32


class Accumulators(wiring.Component):
    """Rows and elements are numbered over all banks: element = row * columns + column.

    The matrix unit reads `read_row` and writes `write_row` (`write_mask` has a bit for each column); the
    vector unit reads `size` elements, at most `lanes`, from `element` on, whatever the ends of rows and
    banks. Data come in the cycle after the request, with zeros where there is no such row or element;
    elements behind `size` may be anything. A read sees the elements as they were before its cycle's write.

    Elements follow one another in memories of a power of two of columns, so that the vector unit's address
    needs no division by `columns`; a row begins at its product with `columns`, a sum of few terms.

    `conflict`: both sides touch one bank in this cycle; if both read, the matrix unit has the bank and the
    vector unit reads zeros there. `fault`: an access in this cycle touches what does not exist.
    """

    def __init__(self, matrix: Matrix, lanes: int) -> None:
        self.columns, self.lanes = matrix.columns, lanes
        rows = matrix.accumulator_banks * matrix.accumulator_rows
        self.row_bits = (rows - 1).bit_length()
        self.geometry = Geometry(
            banks=matrix.accumulator_banks,
            bank_cells=matrix.accumulator_rows * matrix.columns,
            columns=1 << (max(lanes, matrix.columns) - 1).bit_length(),
            cell_bits=ACCUMULATOR_BITS,
            cell_masks=1,
        )
        self.element_bits = (rows * matrix.columns - 1).bit_length()
        row_data = ACCUMULATOR_BITS * matrix.columns
        super().__init__(
            {
                "read_en": In(1),
                "read_row": In(self.row_bits),
                "read_data": Out(row_data),
                "write_en": In(1),
                "write_row": In(self.row_bits),
                "write_data": In(row_data),
                "write_mask": In(matrix.columns),
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
        m.submodules.read = read = self._row_access(m, "read")
        read.touch(m, Const(self.columns), self.columns)
        m.submodules.vector = vector = Access(self.geometry, "vector")
        m.d.comb += vector.en.eq(self.vector_en)
        vector.start(m, self.vector_element)
        vector.touch(m, self.vector_size, self.lanes)
        m.submodules.write = write = self._row_access(m, "write")
        turned = self._turned_write(m, write)
        banks = [
            Bank(self.geometry, number, [read, vector], [turned]) for number in range(self.geometry.banks)
        ]
        for bank in banks:
            m.submodules[f"bank_{bank.number}"] = bank
        self._data(m, banks, 0, read, self.read_data)
        self._data(m, banks, 1, vector, self.vector_data)
        m.d.comb += self.conflict.eq((Cat(vector.hit) & (Cat(read.hit) | Cat(write.hit))).any())
        m.d.comb += self.fault.eq(read.fault | vector.fault | write.fault)
        return m

    def _row_access(self, m: Module, name: str) -> Access:
        access = Access(self.geometry, name)
        m.d.comb += access.en.eq(getattr(self, f"{name}_en"))
        first = Signal(self.geometry.cell_number_bits, name=f"{name}_element")
        m.d.comb += first.eq(_product(getattr(self, f"{name}_row"), self.columns))
        access.start(m, first)
        return access

    def _turned_write(self, m: Module, access: Access) -> Write:
        columns = self.geometry.columns
        turned = Write(access, Signal(ACCUMULATOR_BITS * columns), Signal(columns))
        values = split(self.write_data, ACCUMULATOR_BITS)
        m.d.comb += turned.data.eq(rotate_up(m, values, access.column, columns, "write_data"))
        masks = split(self.write_mask, 1)
        m.d.comb += turned.mask.eq(rotate_up(m, masks, access.column, columns, "write_mask", Const(0, 1)))
        m.d.comb += access.touched.eq(turned.mask)
        return turned

    def _data(self, m: Module, banks: Sequence[Bank], port: int, access: Access, data: Signal) -> None:
        amount = Signal(self.geometry.column_bits, name=f"{access.name}_amount", reset_less=True)
        m.d.sync += amount.eq(access.column)
        wanted = len(data) // ACCUMULATOR_BITS
        found = rotate_down(m, gather(m, banks, port), amount, wanted, f"{access.name}_turned")
        m.d.comb += data.eq(Cat(found))


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
