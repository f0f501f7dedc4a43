"""The dot-product array: columns of int8 multipliers with an adder tree each, and their weights."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix

PRODUCT_BITS = 16


def sum_bits(rows: int) -> int:
    """Bits of a sum of `rows` int8 products; each level of the tree adds one."""
    return PRODUCT_BITS + (rows - 1).bit_length()


def beat_lines(matrix: Matrix) -> int:
    """Rows of a beat that can hold weights: no more than a tile has."""
    return min(matrix.rows, matrix.preload_rows_per_cycle)


def weight_sources(matrix: Matrix, row: int) -> dict[int, list[tuple[int, int]]]:
    """Which row of a beat can bring the weight of an array row: source -> (dilation, beat number).

    A beat brings `preload_rows_per_cycle` rows of a tile. Tap t of a tile lies in array row t * dilation; the
    dilation of CONV is 1. Row 0 holds tap 0 with any dilation, which is given as dilation 0.
    """
    beat = matrix.preload_rows_per_cycle
    dilations = [d for d in range(1, row + 1) if row % d == 0] or [0]
    found: dict[int, list[tuple[int, int]]] = {}
    for dilation in dilations:
        number, source = divmod(row // dilation if dilation else 0, beat)
        found.setdefault(source, []).append((dilation, number))
    return found


class Column(wiring.Component):
    """A column: for each row a shadow weight, a weight, an operand and their product; then the tree.

    Operands of CONV come from `chunk`, a byte for each row; those of DEPTHWISE are a window that shifts
    towards row 0, and a new pixel enters it at the row that `entry` marks. `moves` loads or shifts them. The
    sum of operands that are loaded in cycle t is in `total` in cycle t + 2 + levels + extra_stages. `swap`
    takes the shadow weights and clears the shadow, so that rows that the next tile does not fill are zero.
    Rows with a `shift` take the shadow weight of the column `beside` instead of a row of the beat.
    """

    def __init__(self, matrix: Matrix) -> None:
        rows, self._stages = matrix.rows, matrix.extra_stages
        self._sources = [list(weight_sources(matrix, row)) for row in range(rows)]
        super().__init__(
            {
                "beat": In(data.ArrayLayout(8, beat_lines(matrix))),
                "select": In(sum(len(sources) for sources in self._sources)),
                "beside": In(data.ArrayLayout(8, rows)),
                "shift": In(rows),
                "swap": In(1),
                "chunk": In(data.ArrayLayout(8, rows)),
                "pixel": In(8),
                "entry": In(rows),
                "depthwise": In(1),
                "moves": In(1),
                "shadow": Out(data.ArrayLayout(8, rows)),
                "total": Out(signed(sum_bits(rows))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rows = len(self._sources)
        shadow, weight, operand = (
            [Signal(signed(8), name=f"{name}_{row}", reset_less=name != "shadow") for row in range(rows)]
            for name in ("shadow", "weight", "operand")
        )
        at = 0
        for row, sources in enumerate(self._sources):
            select = self.select[at : at + len(sources)]
            at += len(sources)
            above = Mux(self.entry[row], self.pixel, operand[row + 1] if row + 1 < rows else self.pixel)
            with m.If(self.moves):
                m.d.sync += operand[row].eq(Mux(self.depthwise, above, self.chunk[row]))
            with m.If(self.swap):
                m.d.sync += [weight[row].eq(shadow[row]), shadow[row].eq(0)]
            with m.Elif(select.any() | self.shift[row]):
                chosen = self._chosen(select, sources)
                m.d.sync += shadow[row].eq(Mux(self.shift[row], self.beside[row], chosen))
            m.d.comb += self.shadow[row].eq(shadow[row])
        self._sum(m, weight, operand)
        return m

    def _chosen(self, select: Value, sources: list[int]) -> Value:
        """The byte of the source that is selected; at most one is, and no other byte counts."""
        if len(sources) == 1:
            return self.beat[sources[0]]
        chosen: Any = 0
        for number, source in enumerate(sources):
            chosen |= self.beat[source] & select[number].replicate(8)
        return chosen

    def _sum(self, m: Module, weight: list[Signal], operand: list[Signal]) -> None:
        """Products, the first extra stage behind them as multipliers have one, tree, other extra stages."""

        def registered(value: Value, name: str) -> Signal:
            register = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        terms = []
        for row, pair in enumerate(zip(weight, operand, strict=True)):
            product = Signal(signed(PRODUCT_BITS), name=f"product_{row}", reset_less=True)
            m.d.sync += product.eq(pair[0] * pair[1])
            terms.append(registered(product, f"held_{row}") if self._stages else product)
        level = 0
        while len(terms) > 1:
            pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
            terms = [
                registered(pair[0] + pair[1] if len(pair) > 1 else pair[0], f"level_{level}_{number}")
                for number, pair in enumerate(pairs)
            ]
            level += 1
        total = terms[0]
        for stage in range(1, self._stages):
            total = registered(total, f"stage_{stage}")
        m.d.comb += self.total.eq(total)


class Array(wiring.Component):
    """Columns side by side. What all of them share has one register here or in front of here.

    `pixels` are DEPTHWISE's operands, a byte for each column; `beat` is a beat of weights as memory gave it,
    its rows `used` bytes apart, `select` says for each array row and source whether it takes its weight.
    `shift` says for each array row whether its weights move on by a column, and byte row % port of the beat
    to the last one.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        rows, columns, beat = matrix.rows, matrix.columns, matrix.preload_rows_per_cycle
        selects = sum(len(weight_sources(matrix, row)) for row in range(rows))
        super().__init__(
            {
                "beat": In(data.ArrayLayout(8, columns * beat)),
                "used": In(range(columns + 1)),
                "select": In(selects),
                "shift": In(rows),
                "swap": In(1),
                "bytes": In(data.ArrayLayout(8, max(rows, columns))),
                "entry": In(rows),
                "depthwise": In(1),
                "moves": In(1),
                "totals": Out(data.ArrayLayout(signed(sum_bits(rows)), columns)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        matrix = self._matrix
        rows, columns = matrix.rows, matrix.columns
        flat, lines = self.beat.as_value(), []
        for number in range(beat_lines(matrix)):
            line = Signal(8 * columns, name=f"line_{number}")
            first = Signal(range(number * columns + 1), name=f"first_{number}")
            m.d.comb += first.eq(self.used * number)
            m.d.comb += line.eq(flat >> Cat(Const(0, 3), first))
            lines.append(line)
        shared = ("select", "shift", "swap", "entry", "depthwise", "moves")
        beside = Cat(self.beat[row % len(self.beat)] for row in range(rows))
        for number in reversed(range(columns)):
            column = Column(matrix)
            m.submodules[f"column_{number}"] = column
            m.d.comb += [getattr(column, name).eq(getattr(self, name)) for name in shared]
            m.d.comb += [
                *(
                    column.beat[line].eq(lines[line][8 * number : 8 * number + 8])
                    for line in range(len(lines))
                ),
                *(column.chunk[row].eq(self.bytes[row]) for row in range(rows)),
                column.beside.eq(beside),
                column.pixel.eq(self.bytes[number]),
                self.totals[number].eq(column.total),
            ]
            beside = column.shadow
        return m
