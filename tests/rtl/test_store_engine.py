"""The store engine against the rules of docs/timing.md: data, starts, ends, beats and the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dma_model import Bytes, Sizes, StoreModel, Transfer, random_transfer

from hanok.isa.table import Opcode
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Dma
from hanok.rtl.simulate import Simulation
from hanok.rtl.store import StoreEngine

ADDRESS_BITS, DRAM_BYTES, SRAM_BYTES = 34, 1 << 14, 1 << 12
SHAPES = [(8, 64, 16), (11, 32, 3), (4, 32, 1), (16, 32, 2), (32, 32, 16)]
WIDE_SHAPES = [(16, 8, 16), (11, 4, 9), (33, 8, 1)]
"""Bytes of a beat and a burst, and bursts that may be open; the beats of wide ones are more than a burst."""


class Memory:
    """Write channels that wait at random, and check that what waits stays as it is."""

    def __init__(self, seed: int, dram: Bytes, line: int, delay: int, patience: float) -> None:
        self.random, self.dram, self.line = np.random.default_rng(seed), dram, line
        self.delay, self.patience = delay, patience
        self.addresses: list[int] = []
        self.contents: list[tuple[int, int]] = []
        self.due: list[int] = []
        self.ready = {"aw": False, "w": False}
        self.held: dict[str, tuple[int, ...]] = {}

    def before(self, cycle: int) -> dict[str, int]:
        """Inputs of this cycle."""
        self.ready = {name: bool(self.random.random() < self.patience) for name in self.ready}
        answers = bool(self.due) and self.due[0] <= cycle and bool(self.random.random() < self.patience)
        if answers:
            self.due.pop(0)
        return {
            "bus__awready": int(self.ready["aw"]),
            "bus__wready": int(self.ready["w"]),
            "bus__bvalid": int(answers),
        }

    def after(self, cycle: int, core: Simulation) -> None:
        """Look at the bus, and write what is whole."""
        assert core.get("bus__bready")
        for name, parts in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb", "wlast"))):
            shown = tuple(core.get(f"bus__{part}") for part in parts)
            valid = bool(core.get(f"bus__{name}valid"))
            assert valid or name not in self.held, "valid stays until ready"
            assert self.held.get(name, shown) == shown, "what waits does not change"
            self.held.pop(name, None)
            if valid and not self.ready[name]:
                self.held[name] = shown
            elif valid and name == "aw":
                self.addresses.append(shown[0])
            elif valid:
                assert shown[2] == 1
                self.contents.append((shown[0], shown[1]))
        while self.addresses and self.contents:
            self._write(self.addresses.pop(0), *self.contents.pop(0))
            self.due.append(cycle + 1 + int(self.random.integers(self.delay + 1)))

    def _write(self, address: int, content: int, strobes: int) -> None:
        assert address % self.line == 0
        assert strobes, "a line has bytes"
        for byte in range(self.line):
            if strobes >> byte & 1:
                self.dram[address + byte] = content >> 8 * byte & 255


def run_both(shape: tuple[int, int, int], seed: int, delay: int, patience: float) -> None:
    """Run a random program on model and engine, side by side: the model is told of acceptances alone."""
    width, burst, outstanding = shape
    sizes, random = Sizes.of(shape), np.random.default_rng(seed)
    sram = random.integers(0, 256, SRAM_BYTES, dtype=np.uint8)
    dram = random.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    expected = dram.copy()
    program: list[Transfer] = [
        random_transfer(random, Opcode.STORE, sizes, DRAM_BYTES, SRAM_BYTES, False) for _ in range(16)
    ]
    for transfer in program:
        for there, here in transfer.runs():
            expected[there : there + transfer.run_bytes] = sram[here : here + transfer.run_bytes]
    memory = Memory(seed, dram, sizes.line, delay, patience)
    model = StoreModel(width, sizes.line, sizes.slots)
    core = Simulation(
        StoreEngine(Dma(bytes_per_cycle=width, outstanding=outstanding), burst, ADDRESS_BITS, SRAM_BYTES)
    )
    gaps = random.choice([0, 0, 0, 5, 60], len(program))
    started, not_before = 0, int(gaps[0])
    ends: list[int] = []
    reading = [seed] * MEMORY_READ_CYCLES
    while len(ends) < len(program):
        cycle = core.cycle
        model.cycle = cycle
        inputs: dict[str, Any] = memory.before(cycle)
        if inputs["bus__bvalid"]:
            model.accept()
        model.request()
        ready = model.active < 0
        inputs |= {"start": 0, "sram__data": reading.pop(0)}
        if started < len(program) and ready and cycle >= not_before:
            model.begin(started, program[started])
            inputs |= {"start": 1, "record": program[started].record()}
            started += 1
            not_before = cycle + int(gaps[started % len(gaps)])
        reads = model.move()
        core.step(**inputs)
        memory.after(cycle, core)
        assert core.get("ready") == ready, cycle
        assert core.get("sram__en") == reads, cycle
        if core.get("done"):
            ends.append(cycle)
        assert not core.get("address_fault")
        at = core.get("sram__address")
        content = seed
        if reads:
            size = core.get("sram__size")
            content = int.from_bytes(sram[at : at + size].tobytes(), "little")
        reading.append(content)
    assert ends == [model.end[index] for index in range(len(program))]
    np.testing.assert_array_equal(dram, expected)


@pytest.mark.parametrize("shape", SHAPES + WIDE_SHAPES)
def test_every_cycle_is_the_models_with_an_idle_bus(shape: tuple[int, int, int]) -> None:
    for seed in range(3):
        run_both(shape, seed, delay=0, patience=1.0)


@pytest.mark.parametrize("shape", SHAPES + WIDE_SHAPES)
def test_every_cycle_is_the_models_with_a_busy_bus(shape: tuple[int, int, int]) -> None:
    for seed in range(10, 14):
        run_both(shape, seed, delay=60, patience=(0.5, 0.2)[seed % 2])


@pytest.mark.parametrize(
    "address", [64, (1 << ADDRESS_BITS) - 64, 1 << ADDRESS_BITS, (1 << ADDRESS_BITS) + 64]
)
def test_outside_of_the_bus_nothing_is_written(address: int) -> None:
    width, burst, outstanding = SHAPES[0]
    dma = Dma(bytes_per_cycle=width, outstanding=outstanding)
    core = Simulation(StoreEngine(dma, burst, ADDRESS_BITS, SRAM_BYTES))
    transfer = Transfer(Opcode.STORE, 8, address, 0, (1, 1, 1), (0, 0, 0), (0, 0, 0))
    core.step(start=1, record=transfer.record(), bus__awready=1, bus__wready=1)
    core.set(start=0)
    assert core.run_until("bus__wvalid", most=20)
    beyond = address >> ADDRESS_BITS != 0
    assert core.get("bus__wstrb") == (0 if beyond else 255)
    core.step()
    assert core.get("address_fault") == beyond


def test_an_error_on_the_bus_is_said() -> None:
    width, burst, outstanding = SHAPES[0]
    dma = Dma(bytes_per_cycle=width, outstanding=outstanding)
    core = Simulation(StoreEngine(dma, burst, ADDRESS_BITS, SRAM_BYTES))
    core.step(bus__bvalid=1, bus__bresp=0)
    core.step(bus__bresp=3)
    assert not core.get("bus_fault")
    core.step()
    assert core.get("bus_fault")
