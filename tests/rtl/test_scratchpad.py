"""The scratchpad under random traffic, against plain NumPy bytes with one read and one write port a bank."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.back import rtlil

from hanok.machine import Sram
from hanok.rtl.scratchpad import Scratchpad
from hanok.rtl.simulate import Simulation

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    banks: int
    bank_bytes: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    column_bytes: int = 1
    word_bytes: int | None = None

    def design(self) -> Scratchpad:
        sram = Sram(banks=self.banks, bank_bytes=self.bank_bytes)
        return Scratchpad(sram, self.reads, self.writes, self.column_bytes, self.word_bytes)


SHAPES = {
    "narrow": Shape(8, 512, (1, 2), (1,)),
    "bytes": Shape(8, 512, (3, 8, 2), (8, 3)),
    "one-column": Shape(8, 512, (4, 1), (4,), column_bytes=4, word_bytes=4),
    "words": Shape(8, 512, (3, 8, 13), (8, 13), column_bytes=4),
    "wide-columns": Shape(8, 512, (3, 8, 13, 32), (8, 32), column_bytes=32),
    "many-banks": Shape(33, 704, (13, 8), (13, 8), column_bytes=16),
    "no-power-of-two": Shape(12, 704, (13, 100), (100, 3), column_bytes=64),
    "aligned": Shape(8, 8192, (32, 8), (32,), column_bytes=4, word_bytes=32),
    "word-crosses-banks": Shape(9, 576, (100, 8), (100, 16), column_bytes=16),
}
LONG = {"longer-than-banks": Shape(9, 576, (1024, 16), (1000, 8), column_bytes=64)}
ALL = SHAPES | LONG


@dataclass
class Model:
    """What docs/rtl.md says, a cycle at a time."""

    shape: Shape
    word_bytes: int
    memory: Bytes = field(init=False)

    def __post_init__(self) -> None:
        self.memory = np.zeros(self.shape.banks * self.shape.bank_bytes, np.uint8)

    def reachable(self, address: int) -> int:
        """Bytes that an access may have at most."""
        return self.word_bytes - address % self.shape.column_bytes

    def share(self, wanted: list[npt.NDArray[np.int64]]) -> tuple[list[npt.NDArray[np.bool_]], bool]:
        """Return which addresses each port may touch; ports of lower number come first in each bank."""
        owner: dict[int, int] = {}
        conflict, allowed = False, []
        for port, addresses in enumerate(wanted):
            exists = addresses < len(self.memory)
            banks = addresses // self.shape.bank_bytes
            for bank in set(banks[exists].tolist()):
                conflict |= owner.setdefault(bank, port) != port
            mine = np.array([owner.get(int(bank)) == port for bank in banks], bool)
            allowed.append(exists & mine)
        return allowed, conflict

    def cycle(
        self, reads: list[tuple[int, int]], writes: list[tuple[int, Bytes, npt.NDArray[np.bool_]]]
    ) -> tuple[list[Bytes], bool, bool]:
        """Reads (address, size) and writes (address, data, mask) to data read, conflict and fault."""
        end, fault = len(self.memory), False
        wanted, places = [], []
        for address, size in reads:
            wanted.append(address + np.arange(min(size, self.reachable(address))))
            fault |= size > self.reachable(address)
        for address, _, mask in writes:
            places.append(np.flatnonzero(mask[: self.reachable(address)]))
            fault |= bool(mask[self.reachable(address) :].any())
        targets = [write[0] + place for write, place in zip(writes, places, strict=True)]
        fault |= any(bool((addresses >= end).any()) for addresses in (*wanted, *targets))
        allowed, conflict = self.share(wanted)
        found = []
        for addresses, mine in zip(wanted, allowed, strict=True):
            data = np.zeros(len(addresses), np.uint8)
            data[mine] = self.memory[addresses[mine]]
            found.append(data)
        allowed, crash = self.share(targets)
        for (_, data, _), place, target, mine in zip(writes, places, targets, allowed, strict=True):
            self.memory[target[mine]] = data[place[mine]]
        return found, conflict or crash, fault


def packed(values: Bytes) -> npt.NDArray[np.uint64]:
    """Bytes [cycle, byte] as 64-bit words."""
    wide = np.zeros((len(values), -(-values.shape[1] // 8) * 8), np.uint8)
    wide[:, : values.shape[1]] = values
    return wide.view(np.uint64)


def packed_bits(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    return packed(np.packbits(bits, axis=1, bitorder="little"))


def random_addresses(
    random: np.random.Generator, cycles: int, shape: Shape, size: int, narrow: bool
) -> npt.NDArray[np.int64]:
    """Addresses anywhere, around the ends of banks, behind the last one, and a few again and again."""
    total = shape.banks * shape.bank_bytes
    most = (1 << (total - 1).bit_length()) - 1
    anywhere = random.integers(0, total, cycles)
    borders = random.integers(1, shape.banks + 1, cycles) * shape.bank_bytes - random.integers(
        0, size + 3, cycles
    )
    few = random.integers(0, 2, cycles) * shape.bank_bytes + random.integers(0, 3 * size, cycles)
    beyond = total + random.integers(-size, size, cycles)
    chances = [0.05, 0.1, 0.85, 0.0] if narrow else [0.45, 0.35, 0.17, 0.03]
    kind = random.choice(4, cycles, p=chances)
    return np.clip(np.choose(kind, [anywhere, borders, few, beyond]), 0, most)


@dataclass
class Traffic:
    """Random inputs of all ports; `narrow`: mostly in the same few places."""

    shape: Shape
    cycles: int
    seed: int
    narrow: bool = False

    def __post_init__(self) -> None:
        self.random = random = np.random.default_rng(self.seed)
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        self.data: list[Bytes] = []
        self.masks: list[npt.NDArray[np.bool_]] = []
        shape, cycles = self.shape, self.cycles
        for kind, widths in (("read", shape.reads), ("write", shape.writes)):
            for port, width in enumerate(widths):
                name = f"{kind}_{port}__"
                self.inputs[name + "en"] = (random.random(cycles) < 0.6).astype(np.int64)
                self.inputs[name + "address"] = random_addresses(random, cycles, shape, width, self.narrow)
        for port, width in enumerate(shape.reads):
            part = random.integers(0, width + 1, cycles)
            self.inputs[f"read_{port}__size"] = np.where(random.random(cycles) < 0.6, width, part)
        for port, width in enumerate(shape.writes):
            data = random.integers(0, 256, (cycles, width), dtype=np.uint8)
            mask = random.random((cycles, width)) < random.choice([0.0, 0.05, 0.6, 1.0], (cycles, 1))
            self.data.append(data)
            self.masks.append(mask)
            self.inputs[f"write_{port}__data"] = packed(data)
            self.inputs[f"write_{port}__mask"] = packed_bits(mask)

    def expect(self, word_bytes: int) -> tuple[list[dict[int, Bytes]], Bytes]:
        """Return what each cycle's reads bring, by port, and conflict and fault of each cycle."""
        model, found, flags = Model(self.shape, word_bytes), [], np.zeros((self.cycles, 2), np.uint8)
        for cycle in range(self.cycles):
            at = {name: int(values[cycle]) for name, values in self.inputs.items() if values.ndim == 1}
            reads = [port for port in range(len(self.shape.reads)) if at[f"read_{port}__en"]]
            writes = [port for port in range(len(self.shape.writes)) if at[f"write_{port}__en"]]
            data, *flags[cycle] = model.cycle(
                [(at[f"read_{port}__address"], at[f"read_{port}__size"]) for port in reads],
                [
                    (at[f"write_{port}__address"], self.data[port][cycle], self.masks[port][cycle])
                    for port in writes
                ],
            )
            found.append(dict(zip(reads, data, strict=True)))
        return found, flags


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", [*SHAPES, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_every_read_brings_what_was_written_before_its_cycle(name: str, narrow: bool) -> None:
    shape, cycles = ALL[name], 1500
    design = shape.design()
    traffic = Traffic(shape, cycles, seed=len(name), narrow=narrow)
    expected, flags = traffic.expect(design.word_bytes)
    names = [f"read_{port}__data" for port in range(len(shape.reads))]
    found = Simulation(design).run(cycles, traffic.inputs, [*names, "conflict", "fault"])
    assert np.array_equal(found["conflict"], flags[:, 0])
    assert np.array_equal(found["fault"], flags[:, 1])
    assert flags.any(axis=0).all() or len(shape.reads) + len(shape.writes) < 4
    compared = 0
    for port, width in enumerate(shape.reads):
        data = found[names[port]].reshape(cycles, -1).view(np.uint8)[:, :width]
        for cycle in range(cycles - 1):
            content = expected[cycle].get(port, np.zeros(0, np.uint8))
            assert np.array_equal(data[cycle + 1, : len(content)], content), (port, cycle)
            compared += int(np.count_nonzero(content))
    assert compared > cycles // 4


@pytest.fixture(scope="module")
def small() -> Simulation:
    return Simulation(SHAPES["wide-columns"].design())


def write(design: Simulation, port: int, address: int, data: bytes, mask: int | None = None) -> None:
    given = {"address": address, "data": int.from_bytes(data, "little"), "en": 1}
    given["mask"] = (1 << len(data)) - 1 if mask is None else mask
    design.step(**{f"write_{port}__{name}": value for name, value in given.items()})
    design.set(**{f"write_{port}__en": 0})


def read(design: Simulation, port: int, address: int, size: int) -> bytes:
    design.step(**{f"read_{port}__en": 1, f"read_{port}__address": address, f"read_{port}__size": size})
    design.step(**{f"read_{port}__en": 0})
    return design.get(f"read_{port}__data").to_bytes(32, "little")[:size]


def test_an_access_goes_on_in_the_next_bank(small: Simulation) -> None:
    content = bytes(range(1, 33))
    write(small, 1, 512 - 7, content)
    assert read(small, 3, 512 - 7, 32) == content
    assert read(small, 1, 512 - 4, 8) == content[3:11]
    assert (small.get("conflict"), small.get("fault")) == (0, 0)


def test_a_read_in_the_cycle_of_a_write_brings_the_old_bytes(small: Simulation) -> None:
    write(small, 1, 100, bytes(32))
    small.set(read_1__en=1, read_1__address=104, read_1__size=8)
    write(small, 0, 106, b"\x11\x22\x33\x44\x55\x66\x77\x88", mask=0b111)
    small.step()
    assert small.get("read_1__data") == 0
    small.step(read_1__en=0)
    assert small.get("read_1__data") == 0x332211 << 16


def test_the_lower_port_wins_and_masked_bytes_touch_nothing(small: Simulation) -> None:
    write(small, 1, 0, bytes(range(32)))
    small.step(
        **{"read_0__en": 1, "read_0__address": 0, "read_0__size": 3},
        **{"read_2__en": 1, "read_2__address": 500, "read_2__size": 12},
    )
    assert small.get("conflict") == 1
    small.step(read_0__en=1, read_0__address=512 - 1, read_0__size=1, read_2__address=512)
    assert small.get("read_0__data") & 0xFFFFFF == 0x020100
    assert small.get("read_2__data") & (1 << 96) - 1 == 0
    assert small.get("conflict") == 0
    small.step(read_0__en=0, read_2__en=0)
    small.set(write_0__en=1, write_0__address=512 - 2, write_0__data=0xAABBCCDD, write_0__mask=0b0011)
    write(small, 1, 512, bytes(range(100, 132)))
    assert small.get("conflict") == 0
    small.step(write_0__en=0)
    assert read(small, 1, 510, 8) == b"\xdd\xcc" + bytes(range(100, 106))


def test_what_lies_behind_the_last_bank_is_dropped(small: Simulation) -> None:
    end = 8 * 512
    write(small, 1, 0, bytes(range(1, 33)))
    write(small, 0, end - 3, bytes(range(51, 59)))
    assert small.get("fault") == 1
    small.step()
    assert small.get("fault") == 0
    assert read(small, 1, end - 3, 8) == bytes([51, 52, 53, 0, 0, 0, 0, 0])
    assert read(small, 3, 0, 32) == bytes(range(1, 33))
    small.step(read_1__en=1, read_1__address=end - 3, read_1__size=3)
    assert small.get("fault") == 0
    small.step(read_1__en=0)


@pytest.mark.parametrize("name", SHAPES)
def test_memories_hold_the_bytes_and_no_more(name: str) -> None:
    shape, design = SHAPES[name], SHAPES[name].design()
    text = rtlil.convert(design, emit_src=False)
    made = Counter(
        (int(width), int(depth)) for width, depth in re.findall(r"memory width (\d+) size (\d+)", text)
    )
    assert made == {(8 * shape.column_bytes, depth): count for depth, count in design.memories.items()}
    bits = sum(width * depth * count for (width, depth), count in made.items())
    assert design.memory_bits == bits == 8 * shape.banks * shape.bank_bytes
