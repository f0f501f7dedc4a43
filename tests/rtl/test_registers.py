"""The register map and the registers behind their AXI4-Lite port, under stalls, against plain Python."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from hanok.isa.table import ISA_VERSION
from hanok.rtl.register_map import (
    ADDRESS_BITS,
    BY_NAME,
    CAUSES,
    COUNTERS,
    FIRST_COUNTER,
    IDENTIFIER,
    REGISTERS,
    WORD_BYTES,
)
from hanok.rtl.registers import OKAY, SLAVE_ERROR, Registers
from hanok.rtl.simulate import Simulation
from hanok.simulator.counters import Cause


def test_registers_do_not_overlap_and_their_fields_fit() -> None:
    offsets = [register.offset for register in REGISTERS]
    assert all(after - before >= WORD_BYTES for before, after in pairwise(offsets))
    assert all(offset % WORD_BYTES == 0 for offset in offsets)
    assert len(BY_NAME) == len(REGISTERS)
    for register in REGISTERS:
        taken = [bit for part in register.fields for bit in range(part.bit, part.bit + part.bits)]
        assert len(set(taken)) == len(taken)
        assert max(taken, default=0) < 32


def test_counters_are_the_engines() -> None:
    assert [cause.name.lower() for cause in Cause] == list(CAUSES)


@dataclass
class Host:
    """A master that may be slow: `patience` is how often a side waits, from 0 (never)."""

    patience: float = 0.0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def __post_init__(self) -> None:
        self.core = Simulation(Registers())
        self.pulses: list[tuple[str, int]] = []

    def cycle(self, **values: int) -> None:
        self.core.step(**values)
        self.pulses += [(name, self.core.cycle) for name in ("start", "stop") if self.core.get(name)]

    def goes(self) -> bool:
        return bool(self.random.random() >= self.patience)

    def write(self, name: str | int, value: int, strobes: int = 15) -> int:
        """Write a register (or an offset); return the response."""
        offset = name if isinstance(name, int) else BY_NAME[name].offset
        address, content, response = False, False, None
        sends_address, sends_content, takes = False, False, False
        for _ in range(200):
            sends_address = not address and (sends_address or self.goes())
            sends_content = not content and (sends_content or self.goes())
            takes = self.goes()
            self.cycle(
                bus__awvalid=int(sends_address),
                bus__awaddr=offset,
                bus__wvalid=int(sends_content),
                bus__wdata=value,
                bus__wstrb=strobes,
                bus__bready=int(takes),
            )
            address |= sends_address and bool(self.core.get("bus__awready"))
            content |= sends_content and bool(self.core.get("bus__wready"))
            if self.core.get("bus__bvalid"):
                assert (address, content) == (True, True), "no answer comes before the request"
                assert response in (None, self.core.get("bus__bresp")), "an answer stays while it waits"
                response = self.core.get("bus__bresp")
                if takes:
                    self.cycle(bus__awvalid=0, bus__wvalid=0, bus__bready=0)
                    return response
        raise AssertionError("no answer")

    def read(self, name: str | int) -> tuple[int, int]:
        """Read a register (or an offset); return its value and the response."""
        offset = name if isinstance(name, int) else BY_NAME[name].offset
        sent, sends, seen = False, False, None
        for _ in range(200):
            sends, takes = not sent and (sends or self.goes()), self.goes()
            self.cycle(bus__arvalid=int(sends), bus__araddr=offset, bus__rready=int(takes))
            sent |= sends and bool(self.core.get("bus__arready"))
            if self.core.get("bus__rvalid"):
                assert sent, "no answer comes before the request"
                found = self.core.get("bus__rdata"), self.core.get("bus__rresp")
                assert seen in (None, found), "an answer stays while it waits"
                seen = found
                if takes:
                    self.cycle(bus__arvalid=0, bus__rready=0)
                    return found
        raise AssertionError("no answer")


@pytest.fixture(params=[0.0, 0.4, 0.8])
def host(request: pytest.FixtureRequest) -> Host:
    return Host(patience=request.param)


def test_it_says_who_it_is(host: Host) -> None:
    assert host.read("identifier") == (IDENTIFIER, OKAY)
    assert host.read("isa_version") == (ISA_VERSION, OKAY)


def test_what_is_written_is_read_byte_by_byte(host: Host) -> None:
    random, model = np.random.default_rng(5), dict.fromkeys(("code_bytes", "code_address_low"), 0)
    for _ in range(30):
        name = str(random.choice(list(model)))
        value, strobes = int(random.integers(0, 1 << 32)), int(random.integers(0, 16))
        assert host.write(name, value, strobes) == OKAY
        mask = sum(255 << 8 * byte for byte in range(4) if strobes >> byte & 1)
        model[name] = model[name] & ~mask | value & mask
        assert host.read(name) == (model[name], OKAY)
    host.write("code_address_high", 0x1234)
    host.cycle()
    assert host.core.get("code_address") == 0x1234 << 32 | model["code_address_low"]
    assert host.core.get("code_bytes") == model["code_bytes"]


def test_start_and_stop_are_pulses_and_a_busy_core_does_not_start(host: Host) -> None:
    assert host.write("control", 1) == OKAY
    assert [name for name, _ in host.pulses] == ["start"]
    host.core.set(busy=1)
    assert host.write("control", 1) == SLAVE_ERROR
    assert host.write("control", 2) == OKAY
    assert [name for name, _ in host.pulses] == ["start", "stop"]
    assert host.read("status") == (1, OKAY)
    assert host.read("control") == (0, OKAY)


def test_a_fault_raises_the_interrupt_and_says_why_until_it_is_cleared(host: Host) -> None:
    host.cycle(faulted=1, cause=9, fault_offset=0x44)
    host.cycle(faulted=0)
    assert not host.core.get("interrupt")
    host.write("interrupt_enable", 0b100)
    host.cycle()
    assert host.core.get("interrupt")
    assert [host.read(name)[0] for name in ("status", "cause", "fault_offset")] == [0b100, 9, 0x44]
    host.write("status", 0b100, strobes=0)
    assert host.read("status")[0] == 0b100
    host.write("status", 0b100)
    assert [host.read(name)[0] for name in ("status", "cause")] == [0, 0]
    assert not host.core.get("interrupt")
    host.cycle(finished=1)
    host.cycle(finished=0)
    assert host.read("status")[0] == 0b010
    assert not host.core.get("interrupt")
    host.write("interrupt_enable", 0b010)
    host.cycle()
    assert host.core.get("interrupt")
    host.write("control", 1)
    assert host.read("status")[0] == 0


def test_both_words_of_a_counter_belong_together(host: Host) -> None:
    values = [(number << 60) + 0xFFFFFFFF - number for number in range(len(COUNTERS))]
    values = [value & (1 << 64) - 1 for value in values]
    host.core.set(counters=sum(value << 64 * number for number, value in enumerate(values)))
    for number, name in enumerate(COUNTERS):
        low, _ = host.read(f"{name}_low")
        moved = list(values)
        moved[number] = (values[number] + (7 << 32)) & (1 << 64) - 1
        host.core.set(counters=sum(value << 64 * index for index, value in enumerate(moved)))
        high, answer = host.read(f"{name}_high")
        host.core.set(counters=sum(value << 64 * index for index, value in enumerate(values)))
        assert (high << 32 | low, answer) == (values[number], OKAY)


def test_what_is_not_there_is_refused(host: Host) -> None:
    last = FIRST_COUNTER + 8 * len(COUNTERS)
    for offset in (0x28, FIRST_COUNTER - 4, last):
        assert offset < 1 << ADDRESS_BITS
        assert host.read(offset)[1] == SLAVE_ERROR
        assert host.write(offset, 1) == SLAVE_ERROR
    for name in ("identifier", "cause", "cycles_low"):
        assert host.write(name, 1) == SLAVE_ERROR
