"""Random expressions over machine words, of all operators and widths, are what Amaranth's simulator finds."""

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hanok.rtl import build
from hanok.rtl._evaluation import split_evaluation
from hanok.rtl._word_statements import Statements
from hanok.rtl.simulate import Simulation
from hanok.rtl.yosys import run_yosys

WIDTHS = (1, 2, 5, 8, 31, 32, 33, 40, 63, 64, 65, 96, 100, 130)
MOST_BITS = 160
"""Of an operand; products and shifts would otherwise grow without end."""
SHAPES = {f"u{bits}": unsigned(bits) for bits in WIDTHS} | {f"s{bits}": signed(bits) for bits in WIDTHS}
OUTPUTS, DEPTH, CYCLES = 12, 4, 60
# Amaranth's simulator and its RTLIL disagree on what bit_select finds above a signed operand
PAIRS: tuple[Callable[[Any, Any], Any], ...] = (
    *(operator.add, operator.sub, operator.and_, operator.or_, operator.xor),
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    *(operator.mul, lambda a, b: a << b[:3], lambda a, b: a >> b[:3], lambda a, b: a >> b[:8]),
    *(Cat, operator.floordiv, operator.mod, lambda a, b: Cat(a).bit_select(b[:6], 9)),
    lambda a, b: Mux(b[0], a, Mux(a[0], ~b, b)),
)
SINGLES: tuple[Callable[[Any], Any], ...] = (
    *(operator.inv, operator.neg, Value.any, Value.all, Value.xor, Value.bool),
    *(Value.as_signed, Value.as_unsigned, lambda a: a.replicate(3), lambda a: a[len(a) // 3 :]),
    *(lambda a: a[: len(a) // 2 + 1], lambda a: a[len(a) - 1].replicate(40)),
)


class Expressions(wiring.Component):
    """Random expressions of inputs and registers of every width, half of them behind a register."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.outputs = [f"o{number}" for number in range(OUTPUTS)]
        ports = {name: In(shape) for name, shape in SHAPES.items()}
        self._trees = [self._tree(DEPTH) for _ in self.outputs]
        sizes = [len(tree({name: Signal(shape) for name, shape in SHAPES.items()})) for tree in self._trees]
        super().__init__(ports | {name: Out(bits) for name, bits in zip(self.outputs, sizes, strict=True)})
        del self.random

    def _tree(self, depth: int) -> Callable[[dict[str, Any]], Any]:
        kind = self.random.random()
        if depth == 0 or kind < 0.1:
            name = str(self.random.choice(list(SHAPES)))
            return lambda ports: ports[name]
        if kind < 0.35:
            single, inner = SINGLES[self.random.integers(len(SINGLES))], self._tree(depth - 1)
            return lambda ports: _short(single(inner(ports)))
        left, right = self._tree(depth - 1), self._tree(depth - 1)
        if kind < 0.5:
            bit = self._tree(depth - 1)
            return lambda ports: Mux(bit(ports)[0], left(ports), right(ports))
        pair = PAIRS[self.random.integers(len(PAIRS))]
        return lambda ports: _short(pair(left(ports), right(ports)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ports = {name: getattr(self, name) for name in SHAPES}
        for number, (name, tree) in enumerate(zip(self.outputs, self._trees, strict=True)):
            domain = m.d.sync if number % 2 else m.d.comb
            domain += getattr(self, name).eq(tree(ports))
        return m


def _short(value: Any) -> Any:
    return value if len(value) <= MOST_BITS else value[:MOST_BITS]


def given_values(random: np.random.Generator) -> list[dict[str, int]]:
    """Numbers of random bits, of few of them, and at the ends of their range."""

    def number(bits: int) -> int:
        drawn = int.from_bytes(random.bytes(32), "little") & (1 << bits) - 1
        ends = (0, 1, (1 << bits) - 1, 1 << bits - 1, (1 << bits - 1) - 1)
        return int(random.choice(np.array([drawn, drawn, drawn & 7, *ends], object)))

    return [{name: number(int(name[1:])) for name in SHAPES} for _ in range(CYCLES)]


def results(design: Expressions, given: list[dict[str, int]]) -> list[dict[str, int]]:
    compiled, found = Simulation(design), []
    for values in given:
        compiled.step(1, **values)
        found.append({name: compiled.get(name) for name in design.outputs})
    return found


def simulated(design: Expressions, given: list[dict[str, int]]) -> list[dict[str, int]]:
    found = []

    async def bench(context: Any) -> None:
        for values in given:
            for name, value in values.items():
                context.set(getattr(design, name), value)
            found.append({name: context.get(getattr(design, name)) for name in design.outputs})
            await context.tick()

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_random_expressions_are_what_amaranths_simulator_finds(seed: int) -> None:
    given = given_values(np.random.default_rng((seed, 1)))
    expected, found = simulated(Expressions(seed), given), results(Expressions(seed), given)
    for cycle in range(CYCLES):
        wrong = {
            name: (expected[cycle][name], value)
            for name, value in found[cycle].items()
            if expected[cycle][name] != value
        }
        assert not wrong, (cycle, wrong)


def test_only_arithmetic_is_left_to_templates(tmp_path: Path) -> None:
    """Bitwise operators, comparisons and slices of any width do not stay, but as parts of targets."""
    (tmp_path / "design.il").write_text(rtlil.convert(Expressions(0), name="top", emit_src=False))
    run_yosys(build.SCRIPT, tmp_path)
    _, sources = split_evaluation((tmp_path / "design.h").read_text(), (tmp_path / "design.cc").read_text())
    lines = "".join(sources).partition("part_0")[2].splitlines()
    read = [line for line in lines if not re.match(r"\t\w+\.slice<[^=]*\(\) = ", line)]
    kinds = r"(?:and|or|xor|eq|ne)_uu|not_u|reduce_or|reduce_bool|reduce_and|logic_not"
    assert [
        line for line in read if re.search(rf"\b(?:{kinds})<|\.(?:concat|slice|repeat|val)\b", line)
    ] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\tp_y = and_uu<8>(p_a, p_b.curr);\n", ["\tp_y.data[0] = (p_a.data[0] & p_b.curr.data[0]);\n"]),
        ("\tp_y = p_w.slice<39,32>().val();\n", ["\tp_y.data[0] = (p_w.data[1] & 0xffu);\n"]),
        ("\tp_y = unheard_of(p_a);\n", ["\tp_y = unheard_of(p_a);\n"]),
        ("\tp_y = p_unknown;\n", ["\tp_y = p_unknown;\n"]),
        ("\tp_y = (p_a;\n", ["\tp_y = (p_a;\n"]),
        ("\tp_y = p_a);\n", ["\tp_y = p_a);\n"]),
        ("\tp_y = p_a.concat(p_b.curr).val();\n", ["\tp_y = p_a.concat(p_b.curr).val();\n"]),
        ("\t// cell and_uu<8>(p_a)\n", ["\t// cell and_uu<8>(p_a)\n"]),
    ],
)
def test_what_cannot_be_read_stays_as_it_is(line: str, expected: list[str]) -> None:
    assert Statements({"p_a": 8, "p_b": 8, "p_y": 8, "p_w": 64}).translate([line]) == expected
