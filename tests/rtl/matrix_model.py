"""Random matrix instructions, memories around the unit in gates, and when the engine says that they end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, FLAG_COLUMNS, MATRIX, Opcode
from hanok.isa.timing import (
    FAR_ROW_CYCLES,
    MATRIX_SETUP_CYCLES,
    MEMORY_READ_CYCLES,
    column_preload_cycles,
    depthwise_stream_cycles,
    matrix_schedule,
    preload_cycles,
    rows_are_far,
)
from hanok.machine import Chip, Matrix
from hanok.machine.chip import Sram
from hanok.rtl.accumulators import accumulator_read_signature, accumulator_write_signature
from hanok.rtl.matrix import MatrixUnit
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import masked_address_bits, read_signature
from hanok.rtl.simulate import Simulation
from hanok.simulator.emulator_state import Memories
from hanok.simulator.emulator_stepwise import execute

RECORD_BITS = record_layout(MATRIX).size
SRAM = Sram(banks=8, bank_bytes=896)
ADDRESS_BITS = masked_address_bits(SRAM.total_bytes, word_bytes=16)


def chip_of(matrix: Matrix) -> Chip:
    """A chip with this matrix unit and a scratchpad that is no power of two."""
    chip = Chip.load("nano")
    return chip.model_copy(update={"core": chip.core.model_copy(update={"matrix": matrix, "sram": SRAM})})


class Offered(wiring.Component):
    """The unit behind a queue: it starts what is offered as soon as it is ready."""

    def __init__(self, matrix: Matrix) -> None:
        self._unit = MatrixUnit(matrix, ADDRESS_BITS)
        self._matrix = matrix
        activations, weights = (
            max(matrix.rows, matrix.columns),
            matrix.columns * matrix.preload_rows_per_cycle,
        )
        super().__init__(
            {
                "record": In(record_layout(MATRIX)),
                "offer": In(1),
                "ready": Out(1),
                "done": Out(1),
                "activations": Out(read_signature(ADDRESS_BITS, activations, masked=True)),
                "weights": Out(read_signature(ADDRESS_BITS, weights, masked=True)),
                "accumulator_read": Out(accumulator_read_signature(matrix)),
                "accumulator_write": Out(accumulator_write_signature(matrix)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self._unit
        m.d.comb += [
            unit.record.eq(self.record),
            unit.start.eq(self.offer & unit.ready),
            self.ready.eq(unit.ready),
            self.done.eq(unit.done),
        ]
        for name in ("activations", "weights", "accumulator_read", "accumulator_write"):
            connect(m, getattr(unit, name), flipped(getattr(self, name)))
        return m


def record_word(record: np.void) -> int:
    """A record as the value of its port."""
    return int.from_bytes(record.tobytes(), "little") & (1 << RECORD_BITS) - 1


@dataclass
class Ended:
    """The cycles of starts and ends of a sequence."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


class Bench:
    """The unit, and memories in Python that answer as late as they do; bytes outside a mask are garbage."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.design = matrix, Simulation(Offered(matrix))
        self.sizes = {
            "activations": max(matrix.rows, matrix.columns),
            "weights": matrix.columns * matrix.preload_rows_per_cycle,
        }
        self.answers: dict[str, deque[bytes]] = {}

    def run(
        self,
        records: list[np.void],
        ready: list[int],
        sram: np.ndarray,
        accumulators: np.ndarray,
        garbage: np.random.Generator,
    ) -> Ended:
        """Offer record i from cycle ready[i] on, in order; `accumulators` change."""
        design, ended = self.design, Ended()
        design.reset()
        design.set(offer=0)
        empty = [bytes(1)] * (MEMORY_READ_CYCLES - 1)
        self.answers = {name: deque(empty) for name in self.sizes}
        last_cycle = 0
        while len(ended.ends) < len(records):
            at, cycle = len(ended.starts), design.cycle
            offers = at < len(records) and ready[at] <= cycle
            if offers:
                design.set(record=record_word(records[at]))
            design.step(offer=int(offers))
            if offers and design.get("ready"):
                ended.starts.append(cycle)
                last_cycle = cycle
            if design.get("done"):
                ended.ends.append(cycle)
                last_cycle = cycle
            self._answer(sram, accumulators, garbage)
            assert cycle < last_cycle + 20_000 + max(ready), "the unit stands still"
        return ended

    def _answer(self, sram: np.ndarray, accumulators: np.ndarray, garbage: np.random.Generator) -> None:
        design = self.design
        for name, size in self.sizes.items():
            data = garbage.bytes(size)
            if design.get(f"{name}__en"):
                mask, address = design.get(f"{name}__mask"), design.get(f"{name}__address")
                bits = np.unpackbits(
                    np.frombuffer(mask.to_bytes(-(-size // 8), "little"), np.uint8), bitorder="little"
                )
                places = np.flatnonzero(bits)
                assert len(places), "a read of no bytes"
                where = (address + places) % (1 << ADDRESS_BITS)
                assert where.max() < len(sram), f"{name}: read of byte {where.max()}"
                filled = np.frombuffer(data, np.uint8).copy()
                filled[places] = sram[where]
                data = filled.tobytes()
            self.answers[name].append(data)
            design.set(**{f"{name}__data": int.from_bytes(self.answers[name].popleft(), "little")})
        row = garbage.bytes(4 * self.matrix.columns)
        if design.get("accumulator_read__en"):
            row = accumulators[design.get("accumulator_read__row")].astype("<i4").tobytes()
        design.set(accumulator_read__data=int.from_bytes(row, "little"))
        if design.get("accumulator_write__en"):
            data = design.get("accumulator_write__data").to_bytes(4 * self.matrix.columns, "little")
            mask = design.get("accumulator_write__mask")
            used = np.array([mask >> column & 1 for column in range(self.matrix.columns)], bool)
            row_number = design.get("accumulator_write__row")
            accumulators[row_number, used] = np.frombuffer(data, "<i4")[used]


def emulated(
    records: list[np.void], matrix: Matrix, sram: np.ndarray, accumulators: np.ndarray
) -> np.ndarray:
    """The accumulators after the emulator has executed the records."""
    memories = Memories.cleared(chip_of(matrix), np.zeros(0, np.uint8))
    memories.sram[:] = sram
    memories.accumulators[:] = accumulators
    for record in records:
        execute(memories, record)
    return memories.accumulators


def tiles_of(record: np.void, matrix: Matrix) -> tuple[list[int], int]:
    """Preload cycles of each tile in order, and the stream cycles of each."""
    get = {name: int(record[name]) for name in record.dtype.names}
    bias, depthwise = bool(get["flags"] & FLAG_BIAS), get["opcode"] == Opcode.DEPTHWISE
    chunks = [min(matrix.rows, get["tap_bytes"] - first) for first in range(0, get["tap_bytes"], matrix.rows)]
    rows = [get["taps_x"]] * get["taps_y"] if depthwise else chunks * (get["taps_y"] * get["taps_x"])
    tiles = []
    for number in range(get["blocks"]):
        used = matrix.columns if number < get["blocks"] - 1 else get["last_columns"]
        for place, count in enumerate(rows):
            if get["flags"] & FLAG_COLUMNS:
                tiles.append(column_preload_cycles(matrix, count, used, bias and place == 0))
            else:
                tiles.append(preload_cycles(matrix, count, bias and place == 0))
    stream = get["out_height"] * get["out_width"]
    if depthwise:
        names = ("out_height", "out_width", "x_stride", "taps_x", "x_tap", "pixel_pitch")
        stream = depthwise_stream_cycles(*(get[name] for name in names))
    return tiles, stream


def is_far(record: np.void) -> bool:
    """Whether the first row or a step that is made is a ring or more away from the ring."""
    names = ("out_height", "y_stride", "taps_y", "y_dilation")
    first = int(record["y_start"]) + int(record["ring_start"])
    return rows_are_far(int(record["ring_rows"]), first, *(int(record[name]) for name in names))


def scheduled(records: list[np.void], ready: list[int], matrix: Matrix) -> Ended:
    """Starts and ends as the engine's formula has them."""
    loader_free, stream_free, expected = 0, 0, Ended()
    for record, first in zip(records, ready, strict=True):
        preloads, stream = tiles_of(record, matrix)
        preloads[0] = max(preloads[0], FAR_ROW_CYCLES if is_far(record) else MATRIX_SETUP_CYCLES)
        start, end, loader_free, stream_free = matrix_schedule(
            matrix, first, loader_free, stream_free, preloads, stream
        )
        expected.starts.append(start)
        expected.ends.append(end)
    return expected


Random = np.random.Generator


def random_record(random: Random, matrix: Matrix, positions: int, far: bool = False) -> np.void:
    """A legal record with at most about `positions` output positions a block."""
    make = _random_depthwise if random.random() < 0.4 else _random_conv
    while True:
        record = make(random, matrix, positions)
        _common(random, matrix, record, far)
        if is_far(record) == far and _place(random, matrix, record):
            return record


def _pick(random: Random, low: int, high: int) -> int:
    """The lower end is likely."""
    if random.random() < 0.3:
        return low
    return int(random.integers(low, high + 1))


def _edge(random: Random, high: int) -> int:
    """Both ends are likely, the upper one too: accesses that touch the end of memory."""
    return high if random.random() < 0.1 else _pick(random, 0, high)


def _counts(random: Random, positions: int, record: np.void) -> None:
    record["out_width"] = _pick(random, 1, positions)
    record["out_height"] = _pick(random, 1, max(1, positions // int(record["out_width"])))
    record["taps_y"] = _pick(random, 1, 4)
    record["blocks"] = _pick(random, 1, 3)


def _random_conv(random: Random, matrix: Matrix, positions: int) -> np.void:
    record = np.zeros((), MATRIX.dtype)
    _counts(random, positions, record)
    record["opcode"] = Opcode.CONV
    record["taps_x"] = _pick(random, 1, 4)
    record["tap_bytes"] = _pick(random, 1, 3 * matrix.rows)
    record["x_stride"] = random.integers(-20, 21)
    record["x_tap"] = random.integers(-20, 21)
    record["pixel_pitch"] = random.integers(0, 1 << 31)
    if random.random() < 0.5:
        depth = int(record["taps_y"]) * int(record["taps_x"]) * int(record["tap_bytes"])
        record["flags"] = FLAG_COLUMNS
        record["weight_pitch"] = random.choice([0, depth, random.integers(4 * depth), random.integers(600)])
    return record


def _random_depthwise(random: Random, matrix: Matrix, positions: int) -> np.void:
    record = np.zeros((), MATRIX.dtype)
    _counts(random, positions, record)
    record["opcode"] = Opcode.DEPTHWISE
    pitch = record["pixel_pitch"] = _pick(random, 1, 24)
    taps = record["taps_x"] = _pick(random, 1, matrix.rows)
    dilation = int(random.integers(1, (matrix.rows - 1) // max(1, taps - 1) + 1))
    record["x_tap"] = dilation * pitch if taps > 1 else random.integers(-99, 99)
    record["x_stride"] = (
        pitch * random.integers(1, 4) if record["out_width"] > 1 else random.integers(-99, 99)
    )
    record["tap_bytes"] = 1
    return record


def _common(random: Random, matrix: Matrix, record: np.void, far: bool) -> None:
    record["flags"] += np.uint8(random.choice([0, FLAG_BIAS, FLAG_ACCUMULATE]))
    record["last_columns"] = _pick(random, 1, matrix.columns)
    record["pad"] = random.integers(-128, 128)
    record["x_block"] = random.integers(-30, 31)
    record["x_start"] = random.integers(-40, 100)
    record["x_limit"] = random.integers(0, 200)
    record["y_limit"] = random.integers(0, 14)
    record["y_start"] = random.integers(-4, 10)
    record["y_stride"] = random.integers(-3, 4)
    record["y_dilation"] = random.integers(-3, 4)
    record["row_pitch"] = random.integers(1, 220)
    if far or random.random() < 0.5:
        ring = record["ring_rows"] = random.integers(1, 9)
        record["ring_start"] = random.integers(0, ring)
    if far:
        record["y_start"] = random.integers(-100, 3_000)
        record["y_limit"] = max(0, int(record["y_start"]) + int(random.integers(-3, 30)))
        record["y_stride"], record["y_dilation"] = random.integers(-15, 16, 2)


def _reach(record: np.void) -> int:
    """The largest offset of a byte inside the limits from activation_address, or -1."""
    get = {name: int(record[name]) for name in record.dtype.names}
    y = get["y_start"] + np.add.outer(
        np.arange(get["out_height"]) * get["y_stride"], np.arange(get["taps_y"]) * get["y_dilation"]
    )
    y = y[(y >= 0) & (y < get["y_limit"])]
    slots = (y + get["ring_start"]) % get["ring_rows"] if get["ring_rows"] else y
    if not slots.size or not get["x_limit"]:
        return -1
    return int(slots.max()) * get["row_pitch"] + get["x_limit"] - 1


def _place(random: Random, matrix: Matrix, record: np.void) -> bool:
    """Choose addresses so that every access lies in memory; False if there are none."""
    get = {name: int(record[name]) for name in record.dtype.names}
    used = (get["blocks"] - 1) * matrix.columns + get["last_columns"]
    if used == 1 and get["flags"] & FLAG_COLUMNS:
        get["weight_pitch"] = record["weight_pitch"] = random.integers(1 << 32)
    depth = get["taps_y"] * get["taps_x"] * get["tap_bytes"]
    weights = (used - 1) * get["weight_pitch"] + depth if get["flags"] & FLAG_COLUMNS else used * depth
    rows = get["blocks"] * get["out_height"] * get["out_width"]
    room = [
        SRAM.total_bytes - 1 - _reach(record),
        SRAM.total_bytes - weights,
        SRAM.total_bytes - 4 * used,
        matrix.accumulator_rows * matrix.accumulator_banks - rows,
    ]
    if min(room) < 0:
        return False
    record["activation_address"] = _edge(random, room[0])
    record["weight_address"] = _edge(random, room[1])
    record["bias_address"] = _edge(random, room[2]) // 4 * 4
    record["accumulator_row"] = _edge(random, room[3])
    return True
