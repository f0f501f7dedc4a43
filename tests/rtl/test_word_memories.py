"""Memories of several ports and masks of any width in compiled designs, against rows in a list."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hanok.rtl.simulate import Simulation

ROWS, WRITERS, CYCLES = 8, 2, 600


class Ports(wiring.Component):
    """Two writers, of even rows and of odd ones, and readers of three kinds; data go through an xor."""

    def __init__(self, bits: int, granularity: int) -> None:
        self.bits, self.granularity = bits, granularity
        parts = bits // granularity
        writers = {
            f"{name}{port}": In(size)
            for port in range(WRITERS)
            for name, size in (("row", 2), ("data", bits), ("mask", parts))
        }
        readers = {name: Out(bits) for name in ("old", "new", "now")}
        super().__init__(writers | readers | {"key": In(bits), "row": In(3), "enable": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.bits, depth=ROWS, init=range(ROWS))
        writers = [memory.write_port(granularity=self.granularity) for _ in range(WRITERS)]
        for port, writer in enumerate(writers):
            m.d.comb += [
                writer.addr.eq(Cat(Const(port, 1), getattr(self, f"row{port}"))),
                writer.data.eq(getattr(self, f"data{port}") ^ self.key),
                writer.en.eq(getattr(self, f"mask{port}")),
            ]
        old, new = memory.read_port(), memory.read_port(transparent_for=writers)
        now = memory.read_port(domain="comb")
        m.d.comb += [old.en.eq(self.enable), new.en.eq(self.enable)]
        for name, reader in (("old", old), ("new", new), ("now", now)):
            m.d.comb += [reader.addr.eq(self.row), getattr(self, name).eq(reader.data)]
        return m


@dataclass
class Rows:
    """The same in Python: what is read is there in the next cycle, or at once."""

    bits: int
    granularity: int
    held: list[int] = field(default_factory=lambda: list(range(ROWS)))
    old: int = 0
    new: int = 0

    def step(self, given: dict[str, int]) -> tuple[int, int, int]:
        found = self.old, self.new, self.held[given["row"]]
        before = list(self.held)
        for port in range(WRITERS):
            row, data = 2 * given[f"row{port}"] + port, given[f"data{port}"] ^ given["key"]
            for part in range(self.bits // self.granularity):
                if given[f"mask{port}"] >> part & 1:
                    bits = (1 << self.granularity) - 1 << part * self.granularity
                    self.held[row] = self.held[row] & ~bits | data & bits
        if given["enable"]:
            self.old, self.new = before[given["row"]], self.held[given["row"]]
        return found


@pytest.mark.parametrize(("bits", "granularity"), [(8, 8), (32, 8), (40, 8), (66, 11), (70, 1), (96, 32)])
def test_every_reader_finds_what_was_written(bits: int, granularity: int) -> None:
    random = np.random.default_rng(bits)
    sizes = {"key": bits, "row": 3, "enable": 1}
    for port in range(WRITERS):
        sizes |= {f"row{port}": 2, f"data{port}": bits, f"mask{port}": bits // granularity}
    simulation, rows = Simulation(Ports(bits, granularity)), Rows(bits, granularity)
    for cycle in range(CYCLES):
        given = {
            name: int.from_bytes(random.bytes(16), "little") & (1 << size) - 1 for name, size in sizes.items()
        }
        for port in range(WRITERS):
            given[f"mask{port}"] *= int(random.integers(2))
        simulation.step(1, **given)
        right = rows.step(given)
        found = tuple(simulation.get(name) for name in ("old", "new", "now"))
        assert cycle == 0 or found == right, cycle
