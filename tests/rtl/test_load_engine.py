"""The load engine against the rules of docs/timing.md: data, starts, ends, requests and beats."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dma_model import Bytes, LoadModel, Sizes, Transfer, random_transfer
from unpack_streams import group_choices

from hanok.errors import ChipError
from hanok.isa.table import Opcode
from hanok.isa.timing import LOAD_ANSWER_STAGES, LOAD_REQUEST_STAGES, UNPACK_STAGES
from hanok.machine import Dma
from hanok.numerics.nibbles import ENTRY_BYTES, stream_bytes, unpack_stream
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl.load import LoadEngine
from hanok.rtl.simulate import Simulation

ADDRESS_BITS, DRAM_BYTES, SRAM_BYTES = 34, 1 << 14, 1 << 12
SHAPES = [(8, 64, 16), (11, 32, 3), (4, 32, 1), (16, 32, 2), (32, 32, 16), (32, 64, 2)]
WIDE_SHAPES = [(16, 8, 16), (11, 4, 9), (33, 8, 1)]
"""Bytes of a beat and a burst, and bursts that may be open; the beats of wide ones are more than a burst."""
UNPACKING = [((8, 64, 16), 16), ((4, 32, 1), 2), ((16, 32, 2), 96), ((32, 64, 5), 16), ((16, 8, 9), 32)]
"""The same of engines that unpack, and the array's columns."""


class Memory:
    """A memory on the read channels: `latency` cycles at least, and up to `spread` more, in any order.

    With `patience` below 1, address and data wait at random.
    """

    def __init__(self, seed: int, latency: int, spread: int, patience: float) -> None:
        self.random = np.random.default_rng(seed)
        self.latency, self.spread, self.patience = latency, spread, patience
        self.waiting: list[tuple[int, int, tuple[int, int]]] = []
        self.takes = False
        self.answer: tuple[int, tuple[int, int]] | None = None
        self.asked = 0

    def before(self, cycle: int) -> tuple[bool, tuple[int, tuple[int, int]] | None]:
        """Whether an address is taken in this cycle, and the order and transfer that are answered."""
        self.takes = bool(self.random.random() < self.patience)
        due = [one for one in self.waiting if one[0] <= cycle]
        self.answer = None
        if due and self.random.random() < self.patience:
            one = due[int(self.random.integers(len(due)))] if self.spread else due[0]
            self.waiting.remove(one)
            self.answer = one[1], one[2]
        return self.takes, self.answer

    def after(self, cycle: int, block: tuple[int, int] | None) -> None:
        """Note address and bytes of the transfer on the bus."""
        if block is not None and self.takes:
            due = cycle + self.latency + int(self.random.integers(self.spread + 1))
            self.waiting.append((due, self.asked, block))
            self.asked += 1


def data_of(dram: Bytes, line: int, addresses: list[int], sizes: list[int]) -> npt.NDArray[np.uint64]:
    """The data bus in each cycle: beside the bytes of a transfer it has others than the memory's."""
    rows = ~dram.reshape(-1, line)[np.array(addresses) // line]
    for row, address, size in zip(rows, addresses, sizes, strict=True):
        row[address % line : address % line + size] = dram[address : address + size]
    padded = np.zeros((len(rows), -(-line // 8) * 8), np.uint8)
    padded[:, :line] = rows
    return padded.view(np.uint64)


def random_unpack(random: np.random.Generator, width: int, columns: int) -> Transfer:
    """An UNPACK of any bytes: all are nibbles and entries."""
    group_rows = int(random.choice(group_choices(width, columns)))
    run = group_rows * columns * int(random.choice([1, 2, 3]))
    if run > SRAM_BYTES:
        return random_unpack(random, width, columns)
    packed = stream_bytes(run // columns, columns, group_rows)
    address = int(random.integers((DRAM_BYTES - packed) // width)) * width
    target = int(random.integers(SRAM_BYTES - run + 1))
    whole, none = (1, 1, 1), (0, 0, 0)
    return Transfer(Opcode.UNPACK, run, address, target, whole, none, none, 0, packed, group_rows)


def written_in(program: list[Transfer], beats: list[tuple[int, int]], width: int, columns: int) -> list[int]:
    """The cycles in which beats, of each of which the instruction is known, are written: not entries."""
    cycles, sent = [], [0] * len(program)
    for cycle, index in beats:
        transfer = program[index]
        if transfer.opcode == Opcode.UNPACK:
            place = sent[index] % stream_bytes(transfer.group_rows, columns, transfer.group_rows)
            sent[index] += width
            if place < ENTRY_BYTES * columns:
                continue
        cycles.append(cycle)
    return cycles


def expected_memory(program: list[Transfer], dram: Bytes, columns: int) -> Bytes:
    sram = np.zeros(SRAM_BYTES, np.uint8)
    for transfer in program:
        size = transfer.run_bytes
        if transfer.opcode == Opcode.UNPACK:
            stream = dram[transfer.dram_address :][: transfer.packed_bytes]
            weights = unpack_stream(stream, columns, transfer.group_rows).reshape(-1).view(np.uint8)
            sram[transfer.sram_address :][:size] = weights
            continue
        for here, there in transfer.runs():
            sram[there : there + size] = (
                np.uint8(transfer.value & 255) if transfer.opcode == Opcode.FILL else dram[here : here + size]
            )
    return sram


def trace_model(
    program: list[Transfer], model: LoadModel, memory: Memory, gaps: list[int]
) -> tuple[list[int], list[int], list[tuple[int, int]], dict[str, list[int]], int]:
    """Starts, ends, beats and whose they are, the bus by cycle, and how many cycles the model takes."""
    starts: list[int] = []
    beats: list[tuple[int, int]] = []
    bus: dict[str, list[int]] = {
        "arready": [],
        "rvalid": [],
        "slot": [],
        "address": [],
        "size": [],
        "ready": [],
        "taken": [],
        "taken_size": [],
    }
    queue: deque[tuple[int, tuple[int, int]]] = deque()
    not_before = gaps[0]
    while len(model.end) < len(program):
        cycle = model.cycle
        takes, answer = memory.before(cycle)
        if answer is not None:
            model.arrival[answer[0]] = cycle + LOAD_ANSWER_STAGES + model.later
        bus["ready"].append(int(model.ready()))
        if len(starts) < len(program) and model.ready() and cycle >= not_before:
            model.begin(len(starts), program[len(starts)])
            starts.append(cycle)
            not_before = cycle + gaps[len(starts) % len(gaps)]
        asked = model.request()
        if asked is not None:
            queue.append((cycle + LOAD_REQUEST_STAGES, asked))
        shown = queue[0][1] if queue and queue[0][0] <= cycle else None
        memory.after(cycle, shown)
        if shown is not None and takes:
            queue.popleft()
        taken = shown if shown is not None and takes else (-1, 0)
        address, size = answer[1] if answer else (0, 0)
        for name, value in (
            ("taken", taken[0]),
            ("taken_size", taken[1]),
            ("arready", int(takes)),
            ("rvalid", int(answer is not None)),
            ("slot", answer[0] if answer else 0),
            ("address", address),
            ("size", size),
        ):
            bus[name].append(value)
        index = model.moving[0][0] if model.moving else -1
        if model.move():
            beats.append((cycle, index))
        model.cycle += 1
    return starts, [model.end[index] for index in range(len(program))], beats, bus, model.cycle


def make_engine(shape: tuple[int, int, int], columns: int = 0) -> Simulation:
    """An engine, which unpacks if there are columns."""
    width, burst, outstanding = shape
    dma = Dma(bytes_per_cycle=width, outstanding=outstanding, int4=columns > 0)
    return Simulation(LoadEngine(dma, burst, ADDRESS_BITS, SRAM_BYTES, columns))


def check_addresses(
    found: dict[str, Any], ready: npt.NDArray[Any], bus: dict[str, list[int]], ring: int
) -> None:
    """What waits stays as it is; the bus takes the model's transfers in its cycles, slot after slot."""
    valid = found["bus__arvalid"].astype(bool)
    waits = np.flatnonzero(valid & ~ready)[:-1]
    assert valid[waits + 1].all(), "valid stays until ready"
    for name in ("bus__araddr", "bus__arid", "bus__arsize"):
        assert (found[name][waits] == found[name][waits + 1]).all(), "what waits does not change"
    assert found["bus__rready"].all()
    cycles = np.flatnonzero(valid & ready)
    taken = np.array(bus["taken"])
    assert cycles.tolist() == np.flatnonzero(taken >= 0).tolist()
    assert found["bus__araddr"][cycles].tolist() == taken[cycles].tolist()
    assert (1 << found["bus__arsize"][cycles]).tolist() == np.array(bus["taken_size"])[cycles].tolist()
    assert found["bus__arid"][cycles].tolist() == [order % ring for order in range(len(cycles))]


def run_both(
    shape: tuple[int, int, int],
    seed: int,
    latency: int,
    spread: int,
    patience: float,
    alone: bool,
    columns: int = 0,
) -> int:
    """Run a random program on model and engine; compare every cycle; return how many there were.

    With `columns`, a third of it are UNPACKs.
    """
    sizes, random = Sizes.of(shape), np.random.default_rng(seed)
    dram = random.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    program = []
    for _ in range(16):
        if columns and random.random() < 0.33:
            program.append(random_unpack(random, sizes.width, columns))
            continue
        opcode = Opcode.FILL if random.random() < 0.2 else Opcode.LOAD
        program.append(random_transfer(random, opcode, sizes, DRAM_BYTES, SRAM_BYTES, alone))
    gaps = [int(gap) for gap in random.choice([0, 0, 0, 5, 60], len(program))]
    later = UNPACK_STAGES if columns else 0
    model = LoadModel(sizes.width, sizes.burst, sizes.line, sizes.slots, walks=not alone, later=later)
    memory = Memory(seed, latency, spread, patience)
    starts, ends, beats, bus, cycles = trace_model(program, model, memory, gaps)
    cycles += 4
    core = make_engine(shape, columns)
    record = np.zeros((cycles, 8), np.uint64)
    start = np.zeros(cycles, np.int64)
    for cycle, transfer in zip(starts, program, strict=True):
        start[cycle] = 1
        bits = transfer.record()
        record[cycle] = [bits >> 64 * word & (1 << 64) - 1 for word in range(8)]
    ring = 1 << max(2, sizes.slots.bit_length())
    padded = {name: np.array(values + [0] * 4) for name, values in bus.items()}
    inputs = {
        "start": start,
        "record": record,
        "bus__arready": padded["arready"],
        "bus__rvalid": padded["rvalid"],
        "bus__rid": padded["slot"] % ring,
        "bus__rdata": data_of(dram, sizes.line, padded["address"].tolist(), padded["size"].tolist()),
        "bus__rlast": padded["rvalid"],
    }
    outputs = ["ready", "done", "sram__en", "sram__address", "sram__data", "sram__mask"]
    outputs += ["address_fault", "bus_fault", "bus__rready", "bus__arvalid", "bus__araddr", "bus__arid"]
    outputs += ["bus__arsize"]
    found = core.run(cycles, inputs, outputs)
    check_addresses(found, padded["arready"].astype(bool), bus, ring)
    assert not found["address_fault"].any()
    assert not found["bus_fault"].any()
    assert found["ready"][: len(bus["ready"])].tolist() == bus["ready"]
    assert np.flatnonzero(found["done"]).tolist() == ends
    writes = written_in(program, beats, sizes.width, columns)
    assert np.flatnonzero(found["sram__en"]).tolist() == writes
    sram = np.zeros(SRAM_BYTES, np.uint8)
    written = found["sram__data"].reshape(cycles, -1).copy().view(np.uint8)
    for cycle in writes:
        size = int(found["sram__mask"][cycle]).bit_count()
        assert int(found["sram__mask"][cycle]) == (1 << size) - 1
        at = int(found["sram__address"][cycle])
        sram[at : at + size] = written[cycle, :size]
    np.testing.assert_array_equal(sram, expected_memory(program, dram, columns))
    return cycles


@pytest.mark.parametrize("shape", SHAPES + WIDE_SHAPES)
@pytest.mark.parametrize("alone", [True, False])
def test_every_cycle_is_the_models_with_a_steady_memory(shape: tuple[int, int, int], alone: bool) -> None:
    for seed in range(3):
        run_both(shape, seed, latency=(1, 7, 40)[seed % 3], spread=0, patience=1.0, alone=alone)


@pytest.mark.parametrize("shape", SHAPES + WIDE_SHAPES)
@pytest.mark.parametrize("alone", [True, False])
def test_every_cycle_is_the_models_with_answers_in_any_order(
    shape: tuple[int, int, int], alone: bool
) -> None:
    for seed in range(10, 14):
        run_both(shape, seed, latency=1, spread=60, patience=(1.0, 0.5, 0.2)[seed % 3], alone=alone)


@pytest.mark.parametrize(("shape", "columns"), UNPACKING)
@pytest.mark.parametrize("alone", [True, False])
def test_every_cycle_of_an_engine_that_unpacks_is_the_models(
    shape: tuple[int, int, int], columns: int, alone: bool
) -> None:
    """An UNPACK is a LOAD of its stream of which entries are not written; all comes `UNPACK_STAGES` later."""
    for seed in range(20, 22):
        latency = (1, 30)[seed % 2]
        run_both(shape, seed, latency=latency, spread=0, patience=1.0, alone=alone, columns=columns)
    for seed in range(22, 25):
        patience = (1.0, 0.5, 0.2)[seed % 3]
        run_both(shape, seed, latency=1, spread=60, patience=patience, alone=alone, columns=columns)


PLAIN = Transfer(Opcode.LOAD, 8, 64, 0, (1, 1, 1), (0, 0, 0), (0, 0, 0))


@pytest.mark.parametrize(
    "transfer",
    [
        replace(PLAIN, dram_address=1 << ADDRESS_BITS),
        replace(PLAIN, dram_address=1 << 63),
        replace(PLAIN, dram_address=(1 << ADDRESS_BITS) - 4),
        replace(PLAIN, counts=(1, 1, 2), dram_strides=(0, 0, -65)),
        replace(
            PLAIN, counts=(1, 1, 2), dram_address=(1 << ADDRESS_BITS) - 8, dram_strides=(0, 0, 2**31 - 1)
        ),
    ],
)
def test_a_request_outside_of_the_bus_is_said(transfer: Transfer) -> None:
    core = make_engine(SHAPES[0])
    for one, faults in ((PLAIN, False), (replace(transfer, opcode=Opcode.FILL), False), (transfer, True)):
        core.reset()
        seen = False
        for cycle in range(9):
            core.step(start=int(cycle == 0), record=one.record(), bus__arready=1)
            seen |= bool(core.get("address_fault"))
        assert seen == faults


@pytest.mark.parametrize(("columns", "later"), [(0, 0), (16, UNPACK_STAGES)])
def test_an_error_on_the_bus_is_said(columns: int, later: int) -> None:
    core = make_engine(SHAPES[0], columns)
    core.step(bus__rvalid=1, bus__rresp=0)
    core.step(bus__rresp=2)
    core.set(bus__rvalid=0)
    for _ in range(later + 1):
        assert not core.get("bus_fault")
        core.step()
    assert core.get("bus_fault")


@pytest.mark.parametrize(
    ("dma", "burst", "field"),
    [
        (
            Dma(bytes_per_cycle=129, outstanding=4),
            32,
            "core.dma.bytes_per_cycle: 129; allowed in gates: at most 128",
        ),
        (Dma(bytes_per_cycle=8, outstanding=4), 256, "memory.standard: bursts of 256 bytes; allowed"),
    ],
)
def test_what_the_gates_cannot_do_is_refused(dma: Dma, burst: int, field: str) -> None:
    with pytest.raises(ChipError, match=field):
        DmaShape.of(dma, burst, ADDRESS_BITS, SRAM_BYTES)


def test_addresses_wider_than_an_instruction_has_are_refused() -> None:
    with pytest.raises(ChipError, match="addresses of 63 bits"):
        DmaShape.of(Dma(bytes_per_cycle=8, outstanding=4), 32, 63, SRAM_BYTES)
