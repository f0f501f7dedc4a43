"""Random netlists of Yosys' cells in RTLIL, and their values in Python's integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

INPUT_BITS = (1, 3, 8, 31, 32, 33, 40, 63, 64, 65, 97, 130)
SHORT = 1, 2, 7, 8, 9, 16, 31, 32, 33, 34, 48, 63, 64
LONG = 65, 80, 96, 97, 129
SHIFT_BITS = 1, 5, 6, 6, 7, 7, 33, 64
ROUNDS = 3
"""Of all kinds, signs and lengths."""
FAR = 4096
"""More bits than any operand has."""
Values = dict[str, int]
Piece = tuple[str, int, int]
"""A wire, or "" for a constant; its lowest bit, or the constant; bits."""


def quotient(a: int, b: int) -> int:
    """Rounded to zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def shifted(a: int, by: int) -> int:
    """To the right, or to the left by a negative number."""
    return a << min(-by, FAR) if by < 0 else a >> min(by, FAR)


@dataclass(frozen=True)
class Kind:
    """A cell of one or two operands, whose value is of Python's integers, in infinitely many bits."""

    name: str
    value: Callable[..., int]
    signs: tuple[str, ...] = ("uu", "ss")
    is_shift: bool = False
    never_zero: bool = False
    """Whether the second operand must not be 0, for which Yosys says nothing."""


ONE: tuple[Kind, ...] = (
    Kind("neg", operator.neg, ("u", "s")),
    Kind("not", operator.inv, ("u", "s")),
    Kind("pos", operator.pos, ("u", "s")),
    Kind("logic_not", operator.not_, ("u", "s")),
    Kind("reduce_or", bool, ("u",)),
    Kind("reduce_bool", bool, ("u",)),
    Kind("reduce_xor", lambda a: a.bit_count() % 2, ("u",)),
    Kind("reduce_xnor", lambda a: 1 - a.bit_count() % 2, ("u",)),
)
TWO: tuple[Kind, ...] = (
    *(Kind(name, getattr(operator, name)) for name in ("add", "sub", "mul")),
    *(Kind(name, getattr(operator, name)) for name in ("lt", "le", "eq", "ne", "ge", "gt")),
    *(Kind(name, getattr(operator, f"{name}_")) for name in ("and", "or")),
    Kind("xor", operator.xor),
    Kind("xnor", lambda a, b: ~(a ^ b)),
    Kind("eqx", operator.eq),
    Kind("nex", operator.ne),
    Kind("logic_and", lambda a, b: bool(a and b)),
    Kind("logic_or", lambda a, b: bool(a or b)),
    Kind("div", quotient, never_zero=True),
    Kind("mod", lambda a, b: a - b * quotient(a, b), never_zero=True),
    Kind("divfloor", operator.floordiv, never_zero=True),
    Kind("modfloor", operator.mod, never_zero=True),
    Kind("shl", lambda a, b: shifted(a, -b), ("uu", "su"), is_shift=True),
    Kind("sshl", lambda a, b: shifted(a, -b), ("uu", "su"), is_shift=True),
    Kind("sshr", shifted, ("uu", "su"), is_shift=True),
    Kind("shr", shifted, ("uu", "su"), is_shift=True),
    Kind("shift", shifted, ("uu", "su", "us", "ss"), is_shift=True),
)
LOGICAL = "shr", "shift"
"""Shifts that bring zeros in above the bits that the operand has when it is as wide as the result."""


@dataclass(frozen=True)
class Case:
    """A kind of cell with the signs of its operands; bits of these, then of the result."""

    kind: Kind
    signs: str
    sizes: list[int]


@dataclass
class CellNetlist:
    """A module of random cells, whose operands are parts of inputs, registers and other results.

    Every kind is there a few times, with all signs of its operands, within a machine word and beyond it.
    """

    random: np.random.Generator
    ports: dict[str, int] = field(default_factory=dict)
    """Bits of each output."""
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._count = 2
        self._inner: list[str] = []
        self._read: set[str] = set()
        self._steps: list[Callable[[Values], None]] = []
        self._registers: list[tuple[str, str]] = []
        self.inputs = {f"i{bits}": bits for bits in INPUT_BITS}
        for name, bits in self.inputs.items():
            self._wire(name, bits, "input")
            self._register(name, bits)
        self._one_hot()
        others = [self._mux, self._pmux, self._other_mux, self._sides]
        for case in [self._sized(*one) for _ in range(ROUNDS) for one in self._shuffled()]:
            self._make(case)
            if self.random.random() < 0.2:
                others[self.random.integers(len(others))]()
        self._show()

    def rtlil(self) -> str:
        clocks = ["  wire input 1 \\clk", "  wire input 2 \\rst"]
        return "\n".join(["module \\top", *clocks, *self.text, "end", ""])

    def evaluate(self, state: Values, given: Values) -> Values:
        """Return the values of all wires in a cycle; `state` becomes the registers of the next one."""
        values = {register: state.get(register, 0) for register, _ in self._registers} | given
        for step in self._steps:
            step(values)
        state.update({register: values[wire] for register, wire in self._registers})
        return values

    def _declare(self, name: str, bits: int, direction: str = "") -> None:
        self._count += 1
        number = f" {direction} {self._count}" if direction else ""
        self.text.append(f"  wire width {bits}{number} \\{name}")

    def _wire(self, name: str, bits: int, direction: str = "") -> None:
        self._declare(name, bits, direction)
        self._bits[name] = bits

    def _result(self, bits: int, may_be_output: bool = True) -> str:
        """Make the wire of a result: one that others read, or an output, which they read behind a register.

        Where others read bits of an output on their way to other bits of it, CXXRTL says that it is a loop;
        and bits that are the same as an output's are read there.
        """
        name = f"w{self._count}"
        if may_be_output and self.random.random() < 0.5:
            self._output(name, bits)
        else:
            self._wire(name, bits)
            self._inner.append(name)
        return name

    def _output(self, name: str, bits: int) -> None:
        self._declare(name, bits, "output")
        self.ports[name] = bits
        self._register(name, bits)

    def _register(self, wire: str, bits: int) -> None:
        self._wire(f"{wire}_r", bits)
        self._registers.append((f"{wire}_r", wire))
        pins = {"CLK": "\\clk", "D": f"\\{wire}", "Q": f"\\{wire}_r"}
        self._cell("dff", {"WIDTH": bits, "CLK_POLARITY": 1}, pins)

    def _cell(self, kind: str, parameters: dict[str, int], pins: dict[str, str]) -> None:
        self.text.append(f"  cell ${kind} $c{len(self.text)}")
        self.text += [f"    parameter \\{name} {value}" for name, value in parameters.items()]
        self.text += [f"    connect \\{name} {signal}" for name, signal in pins.items()]
        self.text.append("  end")

    def _draw(self, choices: tuple[int, ...]) -> int:
        return int(self.random.choice(choices))

    def _operand(self, bits: int) -> list[Piece]:
        """Draw parts of wires and constants side by side, the lowest first."""
        pieces: list[Piece] = []
        left = bits
        while left:
            size = left if self.random.random() < 0.6 else int(self.random.integers(1, left + 1))
            if self.random.random() < 0.12:
                number = int.from_bytes(self.random.bytes(24), "little") & (1 << size) - 1
                pieces.append(("", number, size))
            else:
                wide = [name for name, found in self._bits.items() if found >= size]
                if not wide:
                    continue
                near = wide[-8:] if self.random.random() < 0.6 else wide
                name = near[self.random.integers(len(near))]
                start = int(self.random.integers(0, self._bits[name] - size + 1))
                self._read.add(name)
                whole = self._bits[name] == size or self.random.random() < 0.3
                pieces.append((name, 0 if whole else start, size))
            left -= size
        return pieces

    def _target(self, bits: int) -> list[Piece]:
        """A new wire, or two side by side, for a result."""
        if bits == 1 or self.random.random() < 0.85:
            return [(self._result(bits), 0, bits)]
        low = int(self.random.integers(1, bits))
        return [(self._result(low), 0, low), (self._result(bits - low), 0, bits - low)]

    def _set(self, target: list[Piece], value: Callable[[Values], int]) -> None:
        def step(values: Values) -> None:
            found = value(values)
            for name, low, bits in target:
                before = values.get(name, 0)
                values[name] = before | (found & (1 << bits) - 1) << low
                found >>= bits

        self._steps.append(step)

    def _show(self) -> None:
        """Give most results that are no outputs one behind a cell, and all that nothing reads."""
        for name in self._inner:
            if name in self._read and self.random.random() < 0.3:
                continue
            bits = self._bits[name]
            whole, shown = [(name, 0, bits)], [(f"{name}_not", 0, bits)]
            self._output(f"{name}_not", bits)
            self._set(shown, lambda values, whole=whole: ~number(whole, values))
            parameters = {"A_SIGNED": 0, "A_WIDTH": bits, "Y_WIDTH": bits}
            self._cell("not", parameters, {"A": spelled(whole), "Y": spelled(shown)})

    def _sides(self) -> None:
        """Two cells for the two parts of one output."""
        name = f"w{self._count}"
        cases = [self._sized(*one) for one in self._shuffled() if one[0].name != "pos"][:2]
        low, high = (case.sizes[-1] for case in cases)
        self._output(name, low + high)
        self._make(cases[0], [(name, 0, low)])
        self._make(cases[1], [(name, low, high)])

    def _sized(self, kind: Kind, signs: str, is_long: bool) -> Case:
        sizes = [self._draw((*SHORT, *LONG) if is_long else SHORT) for _ in range(len(signs) + 1)]
        if kind.is_shift:
            sizes[1] = self._draw(SHIFT_BITS)
        if is_long and max(sizes) <= max(SHORT):
            sizes[0 if self.random.random() < 0.5 else -1] = self._draw(LONG)
        return Case(kind, signs, sizes)

    def _shuffled(self) -> list[tuple[Kind, str, bool]]:
        every = [
            (kind, signs, is_long)
            for kind in (*ONE, *TWO)
            for signs in kind.signs
            for is_long in (False, True)
        ]
        return [every[place] for place in self.random.permutation(len(every))]

    def _make(self, case: Case, given_target: list[Piece] | None = None) -> None:
        kind, signs, (*sizes, bits) = case.kind, case.signs, case.sizes
        operands = [self._operand(size) for size in sizes]
        if kind.is_shift:  # by a number of which much depends: a random one, and not one that is always long
            low = min(sizes[1], 7)
            random = str(self.random.choice(["i40", "i63", "i97", "i130_r"]))
            operands[1] = [(random, self._draw(tuple(range(30))), low), ("", 0, sizes[1] - low)]
        if kind.never_zero:
            operands[1] = [("", 1, 1), *(self._operand(sizes[1] - 1) if sizes[1] > 1 else [])]
        grown = max(bits, sizes[0])

        def value(values: Values) -> int:
            given = [
                number(operand, values, sign == "s") for operand, sign in zip(operands, signs, strict=True)
            ]
            if kind.name in LOGICAL:
                given[0] &= (1 << grown) - 1
            return int(kind.value(*given))

        target = given_target or (
            [(self._result(bits, False), 0, bits)] if kind.name == "pos" else self._target(bits)
        )
        self._set(target, value)
        parameters: dict[str, int] = {"Y_WIDTH": bits}
        for port, size, sign in zip("AB", sizes, signs, strict=False):
            parameters |= {f"{port}_SIGNED": int(sign == "s"), f"{port}_WIDTH": size}
        pins = {port: spelled(operand) for port, operand in zip("AB", operands, strict=False)}
        self._cell(kind.name, parameters, pins | {"Y": spelled(target)})

    def _one_hot(self) -> None:
        """Three bits of which one is 1, or none."""
        self._wire("hot", 3)
        by: list[Piece] = [("i3", 0, 2)]
        self._set([("hot", 0, 3)], lambda values: 1 << number(by, values))
        parameters = {"A_SIGNED": 0, "A_WIDTH": 1, "B_SIGNED": 0, "B_WIDTH": 2, "Y_WIDTH": 3}
        self._cell("shl", parameters, {"A": "1'1", "B": spelled(by), "Y": "\\hot"})

    def _mux(self) -> None:
        bits = self._draw((*SHORT, *LONG))
        a, b, s = self._operand(bits), self._operand(bits), self._operand(1)
        target = self._target(bits)
        self._set(target, lambda values: number(b if number(s, values) else a, values))
        pins = {"A": spelled(a), "B": spelled(b), "S": spelled(s), "Y": spelled(target)}
        self._cell("mux", {"WIDTH": bits}, pins)

    def _pmux(self) -> None:
        bits = self._draw((*SHORT, *LONG))
        a, b, s = self._operand(bits), self._operand(3 * bits), [("hot", 0, 3)]
        target = self._target(bits)

        def value(values: Values) -> int:
            place = number(s, values).bit_length() - 1
            return number(b, values) >> place * bits if place >= 0 else number(a, values)

        self._set(target, value)
        pins = {"A": spelled(a), "B": spelled(b), "S": spelled(s), "Y": spelled(target)}
        self._cell("pmux", {"WIDTH": bits, "S_WIDTH": 3}, pins)

    def _other_mux(self) -> None:
        """`$bmux` takes one of four parts, `$demux` puts its operand into one, `$bwmux` chooses by bit."""
        kind = str(self.random.choice(["bmux", "demux", "bwmux"]))
        bits = self._draw((1, 7, 8, 32, 33))
        size = {"bmux": 2, "demux": 2, "bwmux": bits}[kind]
        a, b, s = (
            self._operand(4 * bits if kind == "bmux" else bits),
            self._operand(bits),
            self._operand(size),
        )
        target = self._target(4 * bits if kind == "demux" else bits)

        def value(values: Values) -> int:
            given, chosen = number(a, values), number(s, values)
            if kind == "bwmux":
                return given & ~chosen | number(b, values) & chosen
            return given >> bits * chosen if kind == "bmux" else given << bits * chosen

        self._set(target, value)
        pins = {"A": spelled(a), "S": spelled(s), "Y": spelled(target)}
        if kind == "bwmux":
            self._cell(kind, {"WIDTH": bits}, pins | {"B": spelled(b)})
        else:
            self._cell(kind, {"WIDTH": bits, "S_WIDTH": size}, pins)


def number(operand: list[Piece], values: Values, is_signed: bool = False) -> int:
    found, at = 0, 0
    for name, low, bits in operand:
        found |= (values[name] >> low & (1 << bits) - 1 if name else low) << at
        at += bits
    return found - (1 << at) if is_signed and found >> at - 1 else found


def spelled(operand: list[Piece]) -> str:
    """Return an operand in RTLIL, where the highest stands first, without parts of no bits."""
    parts = [
        f"\\{name} [{low + bits - 1}:{low}]" if name else f"{bits}'{low:0{bits}b}"
        for name, low, bits in reversed(operand)
        if bits
    ]
    return f"{{ {' '.join(parts)} }}"
