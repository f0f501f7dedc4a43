"""The scratchpad under random traffic, against plain NumPy bytes with one read and one write port a bank."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.back import rtlil

from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Sram
from hanok.rtl.scratchpad import ReadPort, Scratchpad, address_bits, masked_address_bits
from hanok.rtl.simulate import Simulation

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    banks: int
    bank_bytes: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    column_bytes: int
    word_bytes: int
    masked: tuple[int, ...] = ()
    """Numbers of the read ports that have a mask."""

    @property
    def masked_address_bits(self) -> int:
        return masked_address_bits(self.banks * self.bank_bytes, self.word_bytes)

    def design(self) -> Scratchpad:
        sram = Sram(banks=self.banks, bank_bytes=self.bank_bytes)
        reads = [ReadPort(width, port in self.masked) for port, width in enumerate(self.reads)]
        return Scratchpad(sram, reads, self.writes, self.column_bytes, self.word_bytes)


SHAPES = {
    "narrow": Shape(8, 512, (1, 2), (1,), 1, 2),
    "bytes": Shape(8, 512, (3, 8, 2), (8, 3), 1, 8, masked=(1, 2)),
    "one-column": Shape(8, 512, (4, 1), (4,), 4, 4, masked=(0,)),
    "words": Shape(8, 512, (3, 8, 13), (8, 13), 4, 16, masked=(0, 2)),
    "wide-columns": Shape(8, 512, (3, 8, 13, 32), (8, 32), 32, 64),
    "many-banks": Shape(33, 704, (13, 8), (13, 8), 16, 32, masked=(1,)),
    "no-power-of-two": Shape(12, 704, (13, 50), (50, 3), 32, 128, masked=(1,)),
    "aligned": Shape(8, 8192, (32, 8), (32,), 4, 32),
    "word-crosses-banks": Shape(9, 576, (100, 8), (100, 16), 16, 128, masked=(0, 1)),
    "halves": Shape(8, 1024, (50, 64), (64, 7), 64, 128, masked=(0,)),
}


@dataclass
class Model:
    """What docs/rtl.md says, a cycle at a time."""

    shape: Shape
    memory: Bytes = field(init=False)

    def __post_init__(self) -> None:
        self.memory = np.zeros(self.shape.banks * self.shape.bank_bytes, np.uint8)

    def reachable(self, address: int) -> int:
        """Bytes that an access may have at most."""
        return self.shape.word_bytes - address % self.shape.column_bytes

    def share(self, wanted: list[Places]) -> tuple[list[Mask], bool]:
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

    def reached(self, address: int, mask: Mask, last_address: int) -> tuple[Places, Places, bool]:
        """Return which bytes of a port are accessed, their addresses, and whether there are too many."""
        places = np.flatnonzero(mask)
        inside = places[places < self.reachable(address)]
        return inside, (address + inside) & last_address, len(inside) < len(places)

    def cycle(
        self, reads: list[tuple[int, Mask, int]], writes: list[tuple[int, Bytes, Mask]]
    ) -> tuple[list[tuple[Places, Bytes]], bool, bool]:
        """Reads (address, mask, last address) and writes (address, data, mask) to what a port reads, conflict
        and fault."""
        found = [self.reached(*read) for read in reads]
        stores = [self.reached(address, mask, -1) for address, _, mask in writes]
        wanted, targets = [place[1] for place in found], [place[1] for place in stores]
        fault = any(
            too_many or (addresses >= len(self.memory)).any() for _, addresses, too_many in found + stores
        )
        allowed, conflict = self.share(wanted)
        read = []
        for (places, addresses, _), mine in zip(found, allowed, strict=True):
            data = np.zeros(len(addresses), np.uint8)
            data[mine] = self.memory[addresses[mine]]
            read.append((places, data))
        allowed, crash = self.share(targets)
        for (_, data, _), (places, target, _), mine in zip(writes, stores, allowed, strict=True):
            self.memory[target[mine]] = data[places[mine]]
        return read, conflict or crash, fault


def packed(values: Bytes) -> npt.NDArray[np.uint64]:
    """Bytes [cycle, byte] as 64-bit words."""
    wide = np.zeros((len(values), -(-values.shape[1] // 8) * 8), np.uint8)
    wide[:, : values.shape[1]] = values
    return wide.view(np.uint64)


def packed_bits(bits: Mask) -> npt.NDArray[np.uint64]:
    return packed(np.packbits(bits, axis=1, bitorder="little"))


def random_addresses(
    random: np.random.Generator, cycles: int, shape: Shape, size: int, narrow: bool
) -> Places:
    """Addresses anywhere, around the ends of banks, behind the last one, and a few again and again."""
    total = shape.banks * shape.bank_bytes
    most = (1 << address_bits(total)) - 1
    anywhere = random.integers(0, total, cycles)
    borders = random.integers(1, shape.banks + 1, cycles) * shape.bank_bytes - random.integers(
        0, size + 3, cycles
    )
    few = random.integers(0, 2, cycles) * shape.bank_bytes + random.integers(0, 3 * size, cycles)
    beyond = np.where(random.random(cycles) < 0.5, total, most) + random.integers(-size, size, cycles)
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
        random = np.random.default_rng(self.seed)
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        self.data: list[Bytes] = []
        self.masks: list[Mask] = []
        self.wanted: list[Mask] = []
        shape, cycles = self.shape, self.cycles
        for kind, widths in (("read", shape.reads), ("write", shape.writes)):
            for port, width in enumerate(widths):
                name = f"{kind}_{port}__"
                self.inputs[name + "en"] = (random.random(cycles) < 0.6).astype(np.int64)
                self.inputs[name + "address"] = random_addresses(random, cycles, shape, width, self.narrow)
        for port, width in enumerate(shape.reads):
            if port in shape.masked:
                self.masked_read(random, port, width)
                continue
            part = random.integers(0, width + 1, cycles)
            size = self.inputs[f"read_{port}__size"] = np.where(random.random(cycles) < 0.6, width, part)
            self.wanted.append(np.arange(width) < size[:, None])
        for port, width in enumerate(shape.writes):
            data = random.integers(0, 256, (cycles, width), dtype=np.uint8)
            mask = random.random((cycles, width)) < random.choice([0.0, 0.05, 0.6, 1.0], (cycles, 1))
            self.data.append(data)
            self.masks.append(mask)
            self.inputs[f"write_{port}__data"] = packed(data)
            self.inputs[f"write_{port}__mask"] = packed_bits(mask)

    def masked_read(self, random: np.random.Generator, port: int, width: int) -> None:
        """A mask of any bytes; some accesses begin before byte 0, and few want anything there."""
        address = self.inputs[f"read_{port}__address"]
        before = random.random(self.cycles) < 0.1
        address[before] = -random.integers(1, width + 1, int(before.sum()))
        mask = random.random((self.cycles, width)) < random.choice([0.1, 0.6, 1.0, 1.0], (self.cycles, 1))
        mask &= (address[:, None] + np.arange(width) >= 0) | (random.random((self.cycles, 1)) < 0.05)
        self.inputs[f"read_{port}__address"] = address % (1 << self.shape.masked_address_bits)
        self.inputs[f"read_{port}__mask"] = packed_bits(mask)
        self.wanted.append(mask)

    def expect(self) -> tuple[list[dict[int, tuple[Places, Bytes]]], Bytes]:
        """Return what each cycle's reads bring, by port, and conflict and fault of each cycle."""
        model, found, flags = Model(self.shape), [], np.zeros((self.cycles, 2), np.uint8)
        end = (1 << self.shape.masked_address_bits) - 1
        last = [end if port in self.shape.masked else -1 for port in range(len(self.wanted))]
        for cycle in range(self.cycles):
            at = {name: int(values[cycle]) for name, values in self.inputs.items() if values.ndim == 1}
            reads = [port for port in range(len(self.shape.reads)) if at[f"read_{port}__en"]]
            writes = [port for port in range(len(self.shape.writes)) if at[f"write_{port}__en"]]
            data, *flags[cycle] = model.cycle(
                [(at[f"read_{port}__address"], self.wanted[port][cycle], last[port]) for port in reads],
                [
                    (at[f"write_{port}__address"], self.data[port][cycle], self.masks[port][cycle])
                    for port in writes
                ],
            )
            found.append(dict(zip(reads, data, strict=True)))
        return found, flags


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_every_read_brings_what_was_written_before_its_cycle(name: str, narrow: bool) -> None:
    shape, cycles = SHAPES[name], 1500
    design = shape.design()
    traffic = Traffic(shape, cycles, seed=len(name), narrow=narrow)
    expected, flags = traffic.expect()
    names = [f"read_{port}__data" for port in range(len(shape.reads))]
    found = Simulation(design).run(cycles, traffic.inputs, [*names, "conflict", "fault"])
    late = MEMORY_READ_CYCLES
    assert np.array_equal(found["conflict"][late:], flags[:-late, 0])
    assert np.array_equal(found["fault"][late:] != 0, flags[:-late, 1])
    assert flags.any(axis=0).all() or len(shape.reads) + len(shape.writes) < 4
    compared = 0
    for port, width in enumerate(shape.reads):
        data = found[names[port]].reshape(cycles, -1).view(np.uint8)[:, :width]
        for cycle in range(cycles - late):
            if port not in expected[cycle]:
                continue
            places, content = expected[cycle][port]
            assert np.array_equal(data[cycle + late, places], content), (port, cycle)
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


def answered(design: Simulation) -> None:
    """Ask for nothing more, until the last step's requests are answered."""
    names = [f"{kind}__en" for kind in ("read_0", "read_1", "read_2", "read_3", "write_0", "write_1")]
    design.step(MEMORY_READ_CYCLES, **dict.fromkeys(names, 0))


def read(design: Simulation, port: int, address: int, size: int) -> bytes:
    design.step(**{f"read_{port}__en": 1, f"read_{port}__address": address, f"read_{port}__size": size})
    answered(design)
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
    small.step(MEMORY_READ_CYCLES - 1, read_1__en=0)
    assert small.get("read_1__data") == 0
    small.step()
    assert small.get("read_1__data") == 0x332211 << 16


def test_the_lower_port_wins_and_masked_bytes_touch_nothing(small: Simulation) -> None:
    write(small, 1, 0, bytes(range(32)))
    small.step(
        **{"read_0__en": 1, "read_0__address": 0, "read_0__size": 3},
        **{"read_2__en": 1, "read_2__address": 500, "read_2__size": 12},
    )
    small.step(read_0__en=1, read_0__address=512 - 1, read_0__size=1, read_2__address=512)
    small.step(MEMORY_READ_CYCLES - 1, read_0__en=0, read_2__en=0)
    assert small.get("conflict") == 1
    assert small.get("read_0__data") & 0xFFFFFF == 0x020100
    assert small.get("read_2__data") & (1 << 96) - 1 == 0
    small.step()
    assert small.get("conflict") == 0
    small.set(write_0__en=1, write_0__address=512 - 2, write_0__data=0xAABBCCDD, write_0__mask=0b0011)
    write(small, 1, 512, bytes(range(100, 132)))
    answered(small)
    assert small.get("conflict") == 0
    assert read(small, 1, 510, 8) == b"\xdd\xcc" + bytes(range(100, 106))


def test_what_lies_behind_the_last_bank_is_dropped(small: Simulation) -> None:
    end = 8 * 512
    write(small, 1, 0, bytes(range(1, 33)))
    write(small, 0, end - 3, bytes(range(51, 59)))
    answered(small)
    assert small.get("fault") == 1 << 4, "of write_0, behind four read ports"
    small.step()
    assert small.get("fault") == 0
    assert read(small, 1, end - 3, 8) == bytes([51, 52, 53, 0, 0, 0, 0, 0])
    assert read(small, 3, 0, 32) == bytes(range(1, 33))
    read(small, 1, end - 3, 3)
    assert small.get("fault") == 0


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
