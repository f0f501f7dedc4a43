"""A slow model of the core that steps every cycle: the oracle of the cycle engine."""

from __future__ import annotations

from collections import deque

import numpy as np
from stepped_dma import FETCH_PORT, LoadEngine, Memory, Request, StoreEngine

from hanok.isa import Decoded, Opcode, Unit, decode
from hanok.isa.table import FLAG_BIAS, FLAG_COLUMNS, FLAG_REDUCE_INNER, Destination, Reduction, Source
from hanok.isa.timing import (
    CODE_WORD_BYTES,
    FAR_ROW_CYCLES,
    FETCH_LATENCY_CYCLES,
    FETCH_REQUEST_STAGES,
    MATRIX_SETUP_CYCLES,
    POST_LATENCY_CYCLES,
    QUEUE_LATENCY_CYCLES,
    START_SPACING_CYCLES,
    Section,
    chain_cycles,
    column_preload_cycles,
    depthwise_stream_cycles,
    matrix_schedule,
    preload_cycles,
    rows_are_far,
    table_cycles,
)
from hanok.machine import Chip
from hanok.simulator.counters import Cause

PATIENCE = 20
"""Cycles without any event after which there will be none any more."""
UNITS = tuple(Unit)
ELEMENT = {Source.ACCUMULATOR: 1, Source.INT8: 1, Source.INT32: 4, Source.FLOAT32: 4}


def matrix_tiles(record: np.void, chip: Chip) -> tuple[list[int], int]:
    """Preload cycles of each tile in order, and the stream cycles of each."""
    matrix, bias = chip.core.matrix, bool(record["flags"] & FLAG_BIAS)
    get = {name: int(record[name]) for name in record.dtype.names}
    preloads = []
    depthwise = record["opcode"] == Opcode.DEPTHWISE
    for block in range(get["blocks"]):
        first = True
        used = matrix.columns if block < get["blocks"] - 1 else get["last_columns"]
        for _ in range(get["taps_y"]):
            if depthwise:
                preloads.append(preload_cycles(matrix, get["taps_x"], bias and first))
                first = False
                continue
            for _ in range(get["taps_x"]):
                for begin in range(0, get["tap_bytes"], matrix.rows):
                    rows = min(matrix.rows, get["tap_bytes"] - begin)
                    if get["flags"] & FLAG_COLUMNS:
                        preloads.append(column_preload_cycles(matrix, rows, used, bias and first))
                    else:
                        preloads.append(preload_cycles(matrix, rows, bias and first))
                    first = False
    stream = get["out_height"] * get["out_width"]
    if depthwise:
        stream = depthwise_stream_cycles(
            get["out_height"],
            get["out_width"],
            get["x_stride"],
            get["taps_x"],
            get["x_tap"],
            get["pixel_pitch"],
        )
    steps = [get[name] for name in ("out_height", "y_stride", "taps_y", "y_dilation")]
    far = rows_are_far(get["ring_rows"], get["y_start"] + get["ring_start"], *steps)
    preloads[0] = max(preloads[0], FAR_ROW_CYCLES if far else MATRIX_SETUP_CYCLES)
    return preloads, stream


def vector_cycles(record: np.void, chip: Chip) -> int:
    vector = chip.core.vector
    if record["opcode"] == Opcode.TABLE:
        return table_cycles(vector)
    get = {name: record[name] for name in record.dtype.names}
    reduces = get["reduction"] != Reduction.NONE
    folds = bool(get["flags"] & FLAG_REDUCE_INNER)
    steps = get["step"][: get["steps"]].tolist()
    split = int(get["steps_before"]) if reduces else len(steps)
    operands = [(get["kind_0"], get["stride_inner"])]
    operands += [(get[f"kind_{number}"], get[f"strides_{number}"][3]) for number in (1, 2)]
    contiguous = all(kind == 0 or stride in (0, ELEMENT[Source(kind)]) for kind, stride in operands)
    size = 1 if get["kind_out"] == Destination.INT8 else 4
    return chain_cycles(
        vector,
        int(get["outer_2"]) * int(get["outer_1"]) * int(get["outer_0"]),
        int(get["reduce_1"]) * int(get["reduce_0"]),
        int(get["inner"]),
        contiguous and (folds or get["strides_out"][3] == size),
        Section.of(steps[:split], vector),
        Section.of(steps[split:], vector),
        reduces,
        folds,
        bool(get["ring_rows"]),
    )


class SteppedModel:
    """One `step` is one cycle: posts, dispatch, starts, requests (load, store, fetch), data movement."""

    def __init__(self, code: bytes, chip: Chip, code_address: int = 0) -> None:
        self.chip, self.code, self.code_address = chip, code, code_address
        self.control = chip.core.control
        self.decoded: Decoded = decode(code)
        count = len(self.decoded)
        self.ends_at = [*self.decoded.offset_bytes[1:].tolist(), len(code)]
        self.memory = Memory(chip)
        self.burst_bytes = self.memory.burst_bytes
        self.load = LoadEngine(chip, self.memory, lambda index, end: self.finish(Unit.LOAD, index, end))
        self.store = StoreEngine(chip, self.memory, lambda index, end: self.finish(Unit.STORE, index, end))
        self.dispatch, self.start, self.end = [-1] * count, [-1] * count, [-1] * count
        self.bursts = [0] * count
        self.cycle = self.progress_at = 0
        self.fetched = self.dispatched = self.dispatched_bytes = self.taken_words = 0
        self.fetches: deque[tuple[int, Request]] = deque()
        self.words: list[int] = []
        """The cycle from which each word that has arrived can be decoded."""
        self.offered = self.starved = False
        self.queues: dict[Unit, deque[int]] = {unit: deque() for unit in UNITS}
        self.last_start = dict.fromkeys(UNITS, -START_SPACING_CYCLES)
        self.has_taken, self.is_blocked = dict.fromkeys(UNITS, False), dict.fromkeys(UNITS, False)
        self.active: dict[Unit, deque[int]] = {unit: deque() for unit in UNITS}
        self.to_post: dict[Unit, deque[list[int]]] = {unit: deque() for unit in UNITS}
        """(instruction, mask that is left) of what has started and is not posted."""
        pairs = [(source, target) for source in UNITS for target in UNITS]
        self.posted_at: dict[tuple[Unit, Unit], deque[int]] = {pair: deque() for pair in pairs}
        """When each post was made whose count has not been taken."""
        self.vector_free = self.loader_free = self.stream_free = 0
        self.charged = np.zeros((len(Unit), len(Cause)), np.int64)
        self.empty = np.zeros((len(Unit), len(Cause)), np.int64)
        """Cycles with an empty queue: whether they are the last is not known before the next dispatch."""

    def finish(self, unit: Unit, index: int, end: int) -> None:
        self.end[index] = end
        self.to_post[unit].append([index, int(self.decoded.post[index])])

    def to_post_since(self, unit: Unit) -> int:
        """The end of the oldest instruction that has not made all its posts; this cycle or later if none."""
        return self.end[self.to_post[unit][0][0]] if self.to_post[unit] else self.cycle + 1

    def is_due(self, unit: Unit) -> bool:
        """Whether an instruction has ended and not made all its posts."""
        return self.to_post_since(unit) <= self.cycle

    def step_posts(self, unit: Unit) -> None:
        """Post for the oldest instruction that has ended, as far as there is room."""
        if not self.is_due(unit):
            return
        oldest = self.to_post[unit][0]
        for target in UNITS:
            if oldest[1] >> target & 1 and len(self.posted_at[unit, target]) < self.control.semaphore_limit:
                self.posted_at[unit, target].append(self.cycle)
                oldest[1] &= ~(1 << target)
                self.progress_at = self.cycle
        if not oldest[1]:
            self.to_post[unit].popleft()

    def step_fetch_answers(self) -> None:
        """Take bursts in the order of the requests."""
        while self.fetches:
            size, request = self.fetches[0]
            arrival = self.memory.read_answer(request)
            if not 0 <= arrival <= self.cycle:
                return
            self.words += [self.cycle + FETCH_LATENCY_CYCLES] * (size // CODE_WORD_BYTES)
            self.fetches.popleft()

    def step_decode(self) -> None:
        """Dispatch what is offered, if its queue has room, and take a word, if there is a place for it."""
        has_word = self.taken_words < len(self.words) and self.words[self.taken_words] <= self.cycle
        self.starved = not self.offered and not has_word
        if self.offered:
            index = self.dispatched
            queue = self.queues[Unit(int(self.decoded.unit[index]))]
            if len(queue) == self.control.queue_depth:
                return
            queue.append(index)
            self.dispatch[index] = self.progress_at = self.cycle
            self.dispatched += 1
            self.offered = False
        if has_word:
            self.taken_words += 1
            self.progress_at = self.cycle
            self.offered = self.taken_words * CODE_WORD_BYTES == self.ends_at[self.dispatched]

    def step_fetch_request(self) -> None:
        """Ask for a burst, if it does not lie too far beyond what was dispatched before this cycle."""
        limit = self.dispatched_bytes + self.control.fetch_buffer_bytes
        self.dispatched_bytes = self.ends_at[self.dispatched - 1] if self.dispatched else 0
        if self.fetched == len(self.code):
            return
        number = (self.code_address + self.fetched) // self.burst_bytes
        behind = min(len(self.code), (number + 1) * self.burst_bytes - self.code_address)
        if behind > limit:
            return
        request = self.memory.send(FETCH_PORT, [number], 0, self.cycle + FETCH_REQUEST_STAGES)
        self.fetches.append((behind - self.fetched, request))
        self.fetched = behind

    def has_head(self, unit: Unit) -> bool:
        """Whether the unit sees the oldest entry of its queue."""
        if not self.queues[unit]:
            return False
        seen = self.dispatch[self.queues[unit][0]] + QUEUE_LATENCY_CYCLES
        return max(seen, self.last_start[unit] + START_SPACING_CYCLES) <= self.cycle

    def missing(self, unit: Unit) -> list[Unit]:
        """The units whose post the head of the queue lacks."""
        if not self.has_head(unit) or self.has_taken[unit]:
            return []
        wait = int(self.decoded.wait[self.queues[unit][0]])
        return [source for source in UNITS if wait >> source & 1 and not self.has_count(source, unit)]

    def has_count(self, source: Unit, unit: Unit) -> bool:
        posted = self.posted_at[source, unit]
        return bool(posted) and posted[0] + POST_LATENCY_CYCLES <= self.cycle

    def step_take(self, unit: Unit) -> None:
        """Let the head take its counts, once all are there; they make room for posts of the next cycle."""
        if not self.has_head(unit) or self.has_taken[unit] or self.missing(unit):
            return
        wait = int(self.decoded.wait[self.queues[unit][0]])
        for source in UNITS:
            if wait >> source & 1:
                self.posted_at[source, unit].popleft()
        self.has_taken[unit] = True
        self.progress_at = self.cycle

    def is_ready(self, unit: Unit) -> bool:
        match unit:
            case Unit.LOAD:
                return self.load.ready(self.cycle)
            case Unit.STORE:
                return self.store.ready()
            case Unit.MATRIX:
                return self.cycle >= self.loader_free
            case Unit.VECTOR:
                return self.cycle >= self.vector_free

    def step_start(self, unit: Unit) -> None:
        if not self.has_taken[unit] or not self.is_ready(unit) or self.is_blocked[unit]:
            return
        index = self.queues[unit].popleft()
        self.has_taken[unit] = False
        self.start[index] = self.last_start[unit] = self.cycle
        self.active[unit].append(index)
        self.begin(unit, index)

    def begin(self, unit: Unit, index: int) -> None:
        record = self.decoded.record(index)
        if unit == Unit.VECTOR:
            self.vector_free = self.cycle + vector_cycles(record, self.chip)
            self.finish(unit, index, self.vector_free)
        elif unit == Unit.MATRIX:
            preloads, stream = matrix_tiles(record, self.chip)
            _, end, self.loader_free, self.stream_free = matrix_schedule(
                self.chip.core.matrix, self.cycle, self.loader_free, self.stream_free, preloads, stream
            )
            self.finish(unit, index, end)
        else:
            engine = self.load if unit == Unit.LOAD else self.store
            self.bursts[index] = engine.begin(index, record, self.cycle)

    def charge(self, unit: Unit, waits: Unit | None, is_empty: bool) -> None:
        """Give this cycle of the unit its cause."""
        active = self.active[unit]
        while active and 0 <= self.end[active[0]] <= self.cycle:
            active.popleft()
        if active:
            moves = {Unit.LOAD: self.load.moves, Unit.STORE: self.store.moves}
            self.charged[unit, Cause.BUSY if moves.get(unit, True) else Cause.DRAM] += 1
            self.progress_at = self.cycle
        elif self.is_blocked[unit] or self.is_due(unit):
            self.charged[unit, Cause.FULL_COUNTER] += 1
        elif is_empty:
            self.empty[unit, Cause.FETCH if self.starved else Cause.DISPATCH] += 1
        else:
            assert waits is not None, f"{unit.name} has something to do in cycle {self.cycle} and does not"
            self.charged[unit, Cause.WAIT_LOAD + waits] += 1

    def step(self) -> None:
        self.memory.step(self.cycle)
        self.load.take_answers(self.cycle)
        self.store.accept()
        self.step_fetch_answers()
        for unit in UNITS:
            self.is_blocked[unit] = self.to_post_since(unit) < self.cycle
            self.step_posts(unit)
        self.step_decode()
        is_empty = {unit: not self.has_head(unit) for unit in UNITS}
        waits = {unit: next(iter(self.missing(unit)), None) for unit in UNITS}
        for unit in UNITS:
            self.step_take(unit)
        for unit in (Unit.LOAD, Unit.MATRIX, Unit.VECTOR):
            self.step_start(unit)
        self.load.request(self.cycle)
        self.store.request(self.cycle)
        self.step_start(Unit.STORE)
        self.step_fetch_request()
        self.memory.take_requests(self.cycle)
        self.load.move(self.cycle)
        self.store.move(self.cycle)
        for unit in UNITS:
            if not is_empty[unit]:
                self.charged[unit] += self.empty[unit]
                self.empty[unit] = 0
            self.charge(unit, waits[unit], is_empty[unit])
        self.cycle += 1

    def finished(self) -> bool:
        if self.dispatched < len(self.decoded) or any(self.to_post.values()):
            return False
        return all(end >= 0 for end in self.end)

    def run(self) -> bool:
        """Step to the end; False for a deadlock."""
        while not self.finished():
            self.step()
            if self.fetches:
                self.progress_at = self.cycle
            if self.cycle > self.progress_at + PATIENCE:
                return False
        self.charged[:, Cause.END] = self.empty.sum(axis=1)
        self.total = self.cycle
        return True
