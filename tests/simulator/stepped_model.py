"""A slow model of the core that steps every cycle: the oracle of the cycle engine."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from hanok.dram import _kernels as dram
from hanok.dram import get_standard, make_state
from hanok.dram._layout import A_ADMITTED, A_COMPLETED, H_TCK_FS
from hanok.dram.state import answers_of
from hanok.isa import Decoded, Opcode, Unit, decode
from hanok.isa.table import FLAG_BIAS, FLAG_KEEP_CODE, FLAG_REDUCE_INNER, Destination, Reduction, Source
from hanok.isa.timing import (
    FAR_ROW_CYCLES,
    Section,
    chain_cycles,
    depthwise_stream_cycles,
    expand_cycles,
    matrix_schedule,
    preload_cycles,
    rows_are_far,
    table_cycles,
)
from hanok.machine import Chip
from hanok.simulator.counters import Cause
from hanok.units import cycles_to_picoseconds, picoseconds_to_cycles

PATIENCE = 5_000
RING = 1 << 14
LOAD_PORT, STORE_PORT, FETCH_PORT = range(3)
UNITS = tuple(Unit)
ELEMENT = {Source.ACCUMULATOR: 1, Source.INT8: 1, Source.INT32: 4, Source.FLOAT32: 4}


@dataclass
class Burst:
    """A load burst on its way, or a store burst being gathered: pieces are (bytes, run ends here)."""

    number: int
    pieces: list[tuple[int, bool]]
    handle: int = -1
    issued: int = 0
    arrival: int = -1


@dataclass
class Job:
    """An instruction in a unit's hands."""

    index: int
    bursts: deque[Burst] = field(default_factory=deque)


def runs_of(record: np.void) -> list[int]:
    first = int(record["dram_address"])
    return [
        first
        + a * int(record["dram_stride_3"])
        + b * int(record["dram_stride_2"])
        + c * int(record["dram_stride_1"])
        for a in range(int(record["count_3"]))
        for b in range(int(record["count_2"]))
        for c in range(int(record["count_1"]))
    ]


def bursts_of(record: np.void, burst_bytes: int) -> deque[Burst]:
    bursts: deque[Burst] = deque()
    for run in runs_of(record):
        size = record["packed_bytes" if record["opcode"] == Opcode.EXPAND else "run_bytes"]
        position, end = run, run + int(size)
        while position < end:
            number = position // burst_bytes
            stop = min(end, (number + 1) * burst_bytes)
            if not bursts or bursts[-1].number != number:
                bursts.append(Burst(number, []))
            bursts[-1].pieces.append((stop - position, stop == end))
            position = stop
    return bursts


def matrix_tiles(record: np.void, chip: Chip) -> tuple[list[int], int]:
    """Preload cycles of each tile in order, and the stream cycles of each."""
    matrix, bias = chip.core.matrix, bool(record["flags"] & FLAG_BIAS)
    get = {name: int(record[name]) for name in record.dtype.names}
    preloads = []
    depthwise = record["opcode"] == Opcode.DEPTHWISE
    for _ in range(get["blocks"]):
        first = True
        for _ in range(get["taps_y"]):
            if depthwise:
                preloads.append(preload_cycles(matrix, get["taps_x"], bias and first))
                first = False
                continue
            for _ in range(get["taps_x"]):
                for begin in range(0, get["tap_bytes"], matrix.rows):
                    rows = min(matrix.rows, get["tap_bytes"] - begin)
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
    if rows_are_far(get["ring_rows"], get["y_start"] + get["ring_start"], *steps):
        preloads[0] = max(preloads[0], FAR_ROW_CYCLES)
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
        self.decoded: Decoded = decode(code)
        count = len(self.decoded)
        self.ends_at = [*self.decoded.offset_bytes[1:].tolist(), len(code)]
        self.memory = make_state(chip.memory, ports=3, port_depth=RING, answers=4 * RING)
        self.answers = answers_of(self.memory)
        self.tck_fs = int(self.memory[H_TCK_FS])
        self.asked = [0, 0, 0]
        self.burst_bytes = get_standard(chip.memory.standard).burst_bytes
        self.width = chip.core.dma.bytes_per_cycle
        self.requests = max(1, self.width // self.burst_bytes)
        self.dispatch, self.start, self.end = [-1] * count, [-1] * count, [-1] * count
        self.bursts = [0] * count
        self.queues: dict[Unit, deque[int]] = {unit: deque() for unit in UNITS}
        self.to_post: dict[Unit, deque[tuple[int, int]]] = {unit: deque() for unit in UNITS}
        self.remaining = {unit: int((self.decoded.unit == unit).sum()) for unit in UNITS}
        self.semaphores = {(source, target): 0 for source in UNITS for target in UNITS}
        self.cycle, self.progress_at, self.dispatched, self.fetched = 0, 0, 0, 0
        self.arrived = self.last_arrival = 0
        self.fetches: deque[tuple[int, int, int]] = deque()
        self.log: dict[Unit, list[Cause]] = {unit: [] for unit in UNITS}
        self.busy: dict[Unit, set[int]] = {unit: set() for unit in UNITS}
        self.vector_free = self.loader_free = self.stream_free = 0
        self.load_issue: Job | None = None
        self.load_issued = self.load_issue_after = self.load_answered = 0
        self.load_left: list[int] = []
        self.load_moving: deque[tuple[int, Burst | None, bool]] = deque()
        self.fill_beats = 0
        self.decoders: deque[tuple[int, int]] = deque()
        self.decoder_lags = False
        self.register = 0
        self.store: Job | None = None
        self.store_gathered: deque[tuple[int, Burst, bool]] = deque()
        self.store_open: deque[tuple[int, int, int, bool]] = deque()
        self.store_accepted: list[int] = []
        self.store_begun = self.store_register = self.store_answer = 0
        self.store_run_left: deque[int] = deque()

    def core_cycle(self, memory_cycle: int) -> int:
        picoseconds = -(-memory_cycle * self.tck_fs // 1000)
        return picoseconds_to_cycles(picoseconds, self.chip.clock_mhz)

    def now(self) -> int:
        """The memory's cycle in which a request of this cycle arrives."""
        picoseconds = cycles_to_picoseconds(self.cycle, self.chip.clock_mhz)
        return -(-picoseconds * 1000 // self.tck_fs)

    def ask(self, port: int, burst: int, kind: int) -> int:
        """Send a request; return where its answer will stand."""
        handle = port * RING + self.asked[port] % RING
        self.asked[port] += 1
        dram.request(self.memory, port, handle, burst * self.burst_bytes, self.now(), kind)
        return handle

    def read_answer(self, handle: int, issued: int) -> int:
        """The cycle in which a read's data are there, or -1 while the memory has not answered."""
        completed = int(self.answers[handle, A_COMPLETED])
        if completed < 0:
            return -1
        return max(self.core_cycle(completed) + self.chip.memory.latency_cycles, issued + 1)

    def step_memory(self) -> None:
        """The memory makes everything that begins before this cycle; stores and fetches take its answers."""
        dram.advance_all(self.memory, self.now())
        while self.store_open:
            handle, issued, index, last = self.store_open[0]
            admitted = int(self.answers[handle, A_ADMITTED])
            if admitted < 0:
                break
            self.store_open.popleft()
            accepted = max(self.core_cycle(admitted), issued)
            self.store_accepted.append(accepted)
            self.store_answer = max(self.store_answer, accepted)
            self.progress_at = max(self.progress_at, accepted)
            if last:
                self.finish(Unit.STORE, index, self.store_answer + 1)

    def finish(self, unit: Unit, index: int, end: int) -> None:
        self.end[index] = end
        self.to_post[unit].append((index, int(self.decoded.post[index])))
        self.progress_at = max(self.progress_at, end)

    def step_posts(self) -> None:
        for unit in UNITS:
            queue = self.to_post[unit]
            while queue and self.end[queue[0][0]] <= self.cycle:
                index, mask = queue[0]
                for target in UNITS:
                    if (
                        mask >> target & 1
                        and self.semaphores[unit, target] < self.chip.core.control.semaphore_limit
                    ):
                        self.semaphores[unit, target] += 1
                        mask &= ~(1 << target)
                        self.progress_at = max(self.progress_at, self.cycle)
                queue[0] = (index, mask)
                if mask:
                    break
                queue.popleft()

    def stalled(self, unit: Unit) -> bool:
        queue = self.to_post[unit]
        return bool(queue) and self.end[queue[0][0]] <= self.cycle

    def step_dispatch(self) -> Cause:
        """Dispatch at most one instruction; say what dispatch does, for units whose queue is empty."""
        index = self.dispatched
        if index == len(self.decoded):
            return Cause.END
        while self.fetches:
            size, handle, issued = self.fetches[0]
            arrival = self.read_answer(handle, issued)
            if not 0 <= arrival <= self.cycle:
                break
            self.last_arrival = max(self.last_arrival, arrival)
            self.arrived += size
            self.fetches.popleft()
        if self.arrived < self.ends_at[index]:
            return Cause.FETCH
        queue = self.queues[Unit(int(self.decoded.unit[index]))]
        if len(queue) < self.chip.core.control.queue_depth:
            queue.append(index)
            self.dispatch[index] = self.cycle
            self.dispatched += 1
            self.progress_at = max(self.progress_at, self.cycle)
        return Cause.DISPATCH

    def unit_free(self, unit: Unit) -> bool:
        match unit:
            case Unit.LOAD:
                return self.load_issue is None and self.cycle >= self.load_issue_after and not self.fill_beats
            case Unit.STORE:
                return self.store is None
            case Unit.MATRIX:
                return self.cycle >= self.loader_free
            case Unit.VECTOR:
                return self.cycle >= self.vector_free

    def step_start(self, unit: Unit) -> None:
        queue = self.queues[unit]
        if not queue or not self.unit_free(unit) or self.stalled(unit):
            return
        index = queue[0]
        sources = [source for source in UNITS if int(self.decoded.wait[index]) >> source & 1]
        if any(self.semaphores[source, unit] == 0 for source in sources):
            return
        for source in sources:
            self.semaphores[source, unit] -= 1
        queue.popleft()
        self.remaining[unit] -= 1
        self.start[index] = self.cycle
        self.progress_at = max(self.progress_at, self.cycle)
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
        elif record["opcode"] == Opcode.FILL:
            self.fill_beats = len(runs_of(record)) * -(-int(record["run_bytes"]) // self.width)
            self.load_moving.append((index, None, True))
        else:
            bursts = bursts_of(record, self.burst_bytes)
            self.bursts[index] = len(bursts)
            job = Job(index, bursts)
            if record["opcode"] == Opcode.EXPAND:
                table = not record["flags"] & FLAG_KEEP_CODE
                cycles = expand_cycles(self.chip.core.dma, int(record["run_bytes"]), table)
                self.decoders.append((index, cycles))
            if unit == Unit.LOAD:
                self.load_issue = job
            else:
                self.store = job
                self.store_run_left = deque([int(record["run_bytes"])] * len(runs_of(record)))

    def step_load_requests(self) -> None:
        for _ in range(self.requests):
            job, slots = self.load_issue, self.chip.core.dma.outstanding
            if job is None:
                return
            if len(self.load_left) < self.load_issued - slots + 1:
                return
            if self.load_issued >= slots and self.load_left[self.load_issued - slots] >= self.cycle:
                return
            burst = job.bursts.popleft()
            burst.handle, burst.issued = self.ask(LOAD_PORT, burst.number, 0), self.cycle
            self.load_issued += 1
            self.busy[Unit.LOAD].add(self.cycle)
            self.progress_at = max(self.progress_at, self.cycle)
            self.load_moving.append((job.index, burst, not job.bursts))
            if not job.bursts:
                self.load_issue, self.load_issue_after = None, self.cycle + 1
                return

    def step_load_mover(self) -> None:
        """One beat of up to `width` bytes of one run; bytes short of a beat go to a register."""
        beaten = False
        self.step_decoder()
        if self.decoder_lags:
            self.busy[Unit.LOAD].add(self.cycle)
            self.end_expand()
            return
        while self.load_moving:
            index, burst, last = self.load_moving[0]
            if burst is None:
                if not beaten:
                    self.fill_beats -= 1
                    self.busy[Unit.LOAD].add(self.cycle)
                    if self.fill_beats == 0:
                        self.load_moving.popleft()
                        self.finish(Unit.LOAD, index, self.cycle + 1)
                return
            if burst.arrival < 0:
                arrival = self.read_answer(burst.handle, burst.issued)
                if arrival < 0:
                    return
                self.load_answered = burst.arrival = max(arrival, self.load_answered)
            if burst.arrival > self.cycle:
                return
            size, run_ends = burst.pieces[0]
            here = self.register + size
            if not beaten and (here >= self.width or run_ends):
                beaten = True
                self.busy[Unit.LOAD].add(self.cycle)
                size = max(0, here - self.width)
                self.register = 0
                if size == 0 or (size < self.width and not run_ends):
                    self.register = size
                    burst.pieces.pop(0)
                else:
                    burst.pieces[0] = (size, run_ends)
            elif not beaten:
                self.register = here
                burst.pieces.pop(0)
            else:
                return
            if burst.pieces:
                if beaten:
                    return
                continue
            self.load_left.append(self.cycle)
            self.load_moving.popleft()
            if last and self.decoders and self.decoders[0][0] == index:
                self.end_expand()
            elif last:
                self.finish(Unit.LOAD, index, self.cycle + 1)
            if beaten:
                return

    def step_decoder(self) -> None:
        """A cycle of the decoder, once the mover is free of earlier instructions."""
        if self.decoders and not (self.load_moving and self.load_moving[0][0] < self.decoders[0][0]):
            index, left = self.decoders[0]
            self.decoders[0] = (index, left - 1)
            self.progress_at = max(self.progress_at, self.cycle)

    def end_expand(self) -> None:
        """The bytes are in; the instruction ends with its decoder."""
        index, left = self.decoders[0]
        self.decoder_lags = left > 0
        if left <= 0:
            self.decoders.popleft()
            self.finish(Unit.LOAD, index, self.cycle + 1)

    def step_store_requests(self) -> None:
        for _ in range(self.requests):
            if not self.store_gathered or self.store_gathered[0][0] > self.cycle:
                return
            _, burst, last = self.store_gathered.popleft()
            assert self.store is not None
            handle = self.ask(STORE_PORT, burst.number, 1)
            self.store_open.append((handle, self.cycle, self.store.index, last))
            self.busy[Unit.STORE].add(self.cycle)
            self.progress_at = max(self.progress_at, self.cycle)
            if last:
                self.store = None
                return

    def store_slot_free(self) -> bool:
        earlier = self.store_begun - self.chip.core.dma.outstanding
        if earlier < 0:
            return True
        return earlier < len(self.store_accepted) and self.store_accepted[earlier] < self.cycle

    def step_store_mover(self) -> None:
        """One beat of up to `width` bytes of one run; its bytes go to bursts that have a slot."""
        job, beaten = self.store, False
        while job is not None and job.bursts and self.store_slot_free():
            burst = job.bursts[0]
            size, run_ends = burst.pieces[0]
            if self.store_register < size:
                if beaten:
                    return
                beat = min(self.width, self.store_run_left[0])
                self.store_run_left[0] -= beat
                self.store_register += beat
                self.busy[Unit.STORE].add(self.cycle)
            beaten = True
            if self.store_register < size:
                burst.pieces[0] = (size - self.store_register, run_ends)
                self.store_register = 0
                return
            self.store_register -= size
            burst.pieces.pop(0)
            if run_ends:
                self.store_run_left.popleft()
            if not burst.pieces:
                job.bursts.popleft()
                self.store_begun += 1
                self.store_gathered.append((self.cycle + 1, burst, not job.bursts))

    def step_fetch(self) -> None:
        if self.fetched == len(self.code):
            return
        address = (self.code_address + self.fetched) // self.burst_bytes * self.burst_bytes
        behind = min(len(self.code), address + self.burst_bytes - self.code_address)
        gone = self.dispatched
        if gone and self.dispatch[gone - 1] == self.cycle:
            gone -= 1
        consumed = self.ends_at[gone - 1] if gone else 0
        if behind - consumed > self.chip.core.control.fetch_buffer_bytes:
            return
        handle = self.ask(FETCH_PORT, address // self.burst_bytes, 0)
        self.fetches.append((behind - self.fetched, handle, self.cycle))
        self.fetched = behind
        self.progress_at = max(self.progress_at, self.cycle)

    def idle_cause(self, unit: Unit, dispatching: Cause, waiting: Unit | None) -> Cause:
        if self.stalled(unit):
            return Cause.FULL_COUNTER
        if waiting is not None:
            return Cause(Cause.WAIT_LOAD + waiting)
        return Cause.END if self.remaining[unit] == 0 else dispatching

    def head_waits_for(self, unit: Unit) -> Unit | None:
        """The lowest unit whose post the head of the queue lacks."""
        if not self.queues[unit]:
            return None
        wait = int(self.decoded.wait[self.queues[unit][0]])
        return next((s for s in UNITS if wait >> s & 1 and self.semaphores[s, unit] == 0), None)

    def step(self) -> None:
        self.step_memory()
        self.step_posts()
        dispatching = self.step_dispatch()
        waiting = {unit: self.head_waits_for(unit) for unit in UNITS}
        for unit in (Unit.LOAD, Unit.MATRIX, Unit.VECTOR):
            self.step_start(unit)
        self.step_load_requests()
        self.step_store_requests()
        self.step_start(Unit.STORE)
        self.step_fetch()
        self.step_load_mover()
        self.step_store_mover()
        for unit in UNITS:
            self.log[unit].append(self.idle_cause(unit, dispatching, waiting[unit]))
        self.cycle += 1

    def finished(self) -> bool:
        if self.dispatched < len(self.decoded) or any(self.to_post.values()):
            return False
        return all(end >= 0 for end in self.end)

    def run(self) -> bool:
        """Step to the end; False for a deadlock."""
        while not self.finished():
            self.step()
            if self.load_moving or self.store_open or self.fetches:
                self.progress_at = max(self.progress_at, self.cycle)
            if self.cycle > self.progress_at + PATIENCE:
                return False
        drained = self.core_cycle(int(dram.finish(self.memory)))
        arrivals = [self.read_answer(handle, issued) for _, handle, issued in self.fetches]
        self.total = max([self.cycle - 1, *self.end, self.last_arrival, *arrivals, drained])
        return True

    def causes(self) -> np.ndarray:
        """[unit][Cause] cycles, by looking at each cycle."""
        table = np.zeros((len(Unit), len(Cause)), np.int64)
        for unit in UNITS:
            active = np.zeros(self.total, bool)
            for index in np.flatnonzero(self.decoded.unit == unit):
                active[self.start[index] : self.end[index]] = True
            for cycle in range(self.total):
                if not active[cycle]:
                    cause = self.log[unit][cycle] if cycle < len(self.log[unit]) else Cause.END
                elif unit in (Unit.LOAD, Unit.STORE) and cycle not in self.busy[unit]:
                    cause = Cause.DRAM
                else:
                    cause = Cause.BUSY
                table[unit, cause] += 1
        return table
