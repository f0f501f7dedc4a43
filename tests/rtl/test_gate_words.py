"""Each operator of Verilog in gates, against Python's integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from hanok.rtl._gate_list import ONE, ZERO, GateList
from hanok.rtl._gate_words import MAKERS, Cell
from hanok.rtl.gate_netlist import read_netlist
from hanok.rtl.gate_simulation import GateSimulation

LANES = 200
Function = Callable[[int, int], int]
WIDTHS = ((7, 5, 9), (5, 7, 4), (1, 3, 6), (70, 66, 72), (8, 8, 8))
"""Bits of a, of b and of the result."""
SHIFTS = ((9, 3, 9), (9, 5, 12), (12, 6, 4), (70, 7, 70))


def quotient(a: int, b: int) -> int:
    """Rounded to zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return a - b * quotient(a, b)


@dataclass(frozen=True)
class Case:
    """An expression of `a` and `b`, signed or not, and what it is."""

    text: str
    function: Function
    signed: bool
    widths: tuple[int, int, int]


ARITHMETIC: dict[str, Function] = {
    "a + b": operator.add,
    "a - b": operator.sub,
    "a * b": operator.mul,
    "a & b": operator.and_,
    "a | b": operator.or_,
    "a ^ b": operator.xor,
    "a ~^ b": lambda a, b: ~(a ^ b),
    "-a": lambda a, b: -a,
    "~a": lambda a, b: ~a,
    "a < b": operator.lt,
    "a <= b": operator.le,
    "a > b": operator.gt,
    "a >= b": operator.ge,
    "a == b": operator.eq,
    "a != b": operator.ne,
    "a && b": lambda a, b: bool(a and b),
    "a || b": lambda a, b: bool(a or b),
    "!a": lambda a, b: not a,
    "b > 1 ? a : b": lambda a, b: a if b > 1 else b,
}


def cases() -> list[Case]:
    found = [
        Case(text, function, signed, widths)
        for text, function in ARITHMETIC.items()
        for signed in (False, True)
        for widths in WIDTHS
    ]
    found += [Case("a / b", quotient, signed, (7, 5, 9)) for signed in (False, True)]
    found += [Case("a % b", remainder, signed, (7, 5, 9)) for signed in (False, True)]
    for widths in SHIFTS:
        context = max(widths[0], widths[2])
        for signed in (False, True):
            found += [
                Case(
                    "a << $unsigned(b)", lambda a, b, b_bits=widths[1]: a << b % (1 << b_bits), signed, widths
                ),
                Case(
                    "a >>> $unsigned(b)",
                    lambda a, b, b_bits=widths[1]: a >> b % (1 << b_bits),
                    signed,
                    widths,
                ),
                Case(
                    "a >> $unsigned(b)",
                    lambda a, b, bits=context, b_bits=widths[1]: a % (1 << bits) >> b % (1 << b_bits),
                    signed,
                    widths,
                ),
            ]
        bits = widths[0]
        found.append(Case("a[b]", lambda a, b, bits=bits: a >> b & 1 if b < bits else 0, False, widths))
        found.append(Case("a[b +: 3]", lambda a, b: a >> b & 7, False, widths))
    for bits in (1, 7, 70):
        ones = (1 << bits) - 1
        found += [
            Case("&a", lambda a, b, ones=ones: a == ones, False, (bits, 1, 2)),
            Case("|a", lambda a, b: a != 0, False, (bits, 1, 2)),
            Case("^a", lambda a, b: a.bit_count() & 1, False, (bits, 1, 2)),
            Case("~^a", lambda a, b: ~a.bit_count() & 1, False, (bits, 1, 1)),
        ]
    return found


def design_of(found: list[Case]) -> str:
    lines = []
    for number, case in enumerate(found):
        sign = "signed" if case.signed else ""
        a, b, y = (bits - 1 for bits in case.widths)
        lines.append(
            f"module case_{number}(input {sign} [{a}:0] a, input {sign} [{b}:0] b, output [{y}:0] y);\n"
            f"assign y = {case.text};\nendmodule\n"
        )
    ports = "".join(
        f", input [{case.widths[0] - 1}:0] a{number}, input [{case.widths[1] - 1}:0] b{number}, "
        f"output [{case.widths[2] - 1}:0] y{number}"
        for number, case in enumerate(found)
    )
    body = "".join(
        f"case_{number} x{number}(.a(a{number}), .b(b{number}), .y(y{number}));\n"
        for number in range(len(found))
    )
    return f"{''.join(lines)}module top(input clk{ports});\n{body}endmodule\n"


def values(random: np.random.Generator, bits: int) -> list[int]:
    """Random ones, many near the ends."""
    octets = random.integers(0, 256, (LANES, -(-bits // 8)), np.uint8)
    found = [int.from_bytes(row.tobytes(), "little") % (1 << bits) for row in octets]
    ends = [0, 1, 2, (1 << bits) - 1, (1 << bits) - 2, 1 << bits - 1, (1 << bits - 1) - 1]
    return [end % (1 << bits) for end in ends] * 5 + found[: LANES - 5 * len(ends)]


def octets_of(given: list[int], bits: int) -> np.ndarray:
    size = -(-bits // 8)
    return np.array([list(value.to_bytes(size, "little")) for value in given], np.uint8)


def signed_value(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def test_operators() -> None:
    found, random = cases(), np.random.default_rng(1)
    simulation = GateSimulation(read_netlist([design_of(found)], "clk"), LANES)
    given = []
    for number, case in enumerate(found):
        a, b = (list(random.permutation(np.array(values(random, bits), object))) for bits in case.widths[:2])
        given.append((a, b))
        simulation.set(
            **{f"a{number}": octets_of(a, case.widths[0]), f"b{number}": octets_of(b, case.widths[1])}
        )
    simulation.step()
    for number, case in enumerate(found):
        octets = simulation.get_octets(f"y{number}")
        for lane, (a, b) in enumerate(zip(*given[number], strict=True)):
            if case.signed:
                a, b = signed_value(a, case.widths[0]), signed_value(b, case.widths[1])
            if b == 0 and case.text in ("a / b", "a % b"):
                continue  # undefined
            expected = int(case.function(a, b)) % (1 << case.widths[2])
            assert int.from_bytes(octets[lane].tobytes(), "little") == expected, (case, a, b)


TABLES = """
module tables(input clk, input [2:0] x, input signed [3:0] by, input [7:0] word, output reg [3:0] y,
              output [7:0] moved, output odd, output [4:0] gates);
  always @* case (x) 1: y = 9; 2: y = word[3:0]; 4: y = word[7:4]; 7: y = 3; default: y = {x, 1'b1}; endcase
  wire signed [3:0] b = by;
  \\$shift #(.A_SIGNED(0), .B_SIGNED(1), .A_WIDTH(8), .B_WIDTH(4), .Y_WIDTH(8)) s(.A(word), .B(b), .Y(moved));
  \\$lut #(.WIDTH(3), .LUT(8'b10010110)) l(.A(x), .Y(odd));
  \\$_ANDNOT_ g0(.A(x[0]), .B(x[1]), .Y(gates[0]));
  \\$_ORNOT_ g1(.A(x[0]), .B(x[1]), .Y(gates[1]));
  \\$_NAND_ g2(.A(x[0]), .B(x[1]), .Y(gates[2]));
  \\$_NMUX_ g3(.A(x[0]), .B(x[1]), .S(x[2]), .Y(gates[3]));
  \\$_XNOR_ g4(.A(x[0]), .B(x[1]), .Y(gates[4]));
endmodule
"""


def test_tables_and_cells_of_yosys() -> None:
    simulation = GateSimulation(read_netlist([TABLES], "clk"), 128)
    lanes = np.arange(128, dtype=np.uint64)
    x, by, word = lanes % np.uint64(8), lanes // np.uint64(8), lanes * np.uint64(77) % np.uint64(256)
    simulation.step(x=x, by=by, word=word)
    for lane in range(128):
        one, value, shift = int(x[lane]), int(word[lane]), signed_value(int(by[lane]), 4)
        expected = {1: 9, 2: value & 15, 4: value >> 4, 7: 3}.get(one, (one << 1 | 1) & 15)
        assert simulation.get("y")[lane] == expected
        assert simulation.get("moved")[lane] == (value >> shift if shift >= 0 else value << -shift) & 255
        assert simulation.get("odd")[lane] == one.bit_count() & 1
        a, b, s = one & 1, one >> 1 & 1, one >> 2
        gates = (a & ~b & 1, a | b ^ 1, (a & b) ^ 1, (b if s else a) ^ 1, (a ^ b) ^ 1)
        assert simulation.get("gates")[lane] == sum(bit << place for place, bit in enumerate(gates))


def test_constants_make_no_gates() -> None:
    gates = GateList(10)
    for net in (ZERO, ONE, 5):
        for function, expected in ((gates.both, (ZERO, net)), (gates.either, (net, ONE))):
            assert (function(net, ZERO), function(net, ONE)) == expected
            assert (function(ZERO, net), function(ONE, net)) == expected
            assert function(net, net) == net
        assert gates.differ(net, ZERO) == gates.differ(ZERO, net) == net
        assert gates.differ(net, net) == ZERO
        assert gates.choose(net, 7, 7) == 7
    assert [gates.choose(ONE, 5, 6), gates.choose(ZERO, 5, 6)] == [5, 6]
    assert gates.choose(5, ONE, ZERO) == 5
    assert gates.inverse(ONE) == ZERO
    assert gates.inverse(ZERO) == ONE
    assert not len(gates.rows())


@pytest.mark.parametrize(("kind", "inputs"), [("$bwmux", "ABS"), ("$bmux", "AS"), ("$logic_and", "AB")])
def test_cells_that_verilog_does_not_make(kind: str, inputs: str) -> None:
    """Of constants: what is left is the result."""
    a, b, s = [0, 1, 1, 0], [1, 1, 0, 0], {"$bmux": [0, 1]}.get(kind, [1, 0, 1, 0])
    nets = {port: {"A": a, "B": b, "S": s}[port] for port in inputs}
    cell = Cell("x", kind, {}, {**nets, "Y": [2, 3, 4, 5] if kind == "$bwmux" else [2]})
    expected = {"$bwmux": [1, 1, 0, 0], "$bmux": [1], "$logic_and": [1]}[kind]
    assert MAKERS[kind](GateList(6), cell) == expected
