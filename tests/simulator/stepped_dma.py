"""The memory, its buses and the two DMA engines of the stepped model, by the rules of docs/timing.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from stepped_expand import SteppedDecoder

from hanok.dram import _kernels as dram
from hanok.dram import get_standard, make_state
from hanok.dram._layout import A_ADMITTED, A_COMPLETED, H_TCK_FS
from hanok.dram.state import answers_of
from hanok.isa import Opcode
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.isa.timing import (
    FILL_START_CYCLES,
    LOAD_ANSWER_STAGES,
    LOAD_REQUEST_STAGES,
    LOAD_START_CYCLES,
    STORE_REQUEST_STAGES,
    STORE_START_CYCLES,
    UNPACK_STAGES,
    line_bytes,
    open_lines,
)
from hanok.machine import Chip, Dma
from hanok.units import cycles_to_picoseconds, picoseconds_to_cycles

RING = 1 << 14
PACKED = (Opcode.EXPAND, Opcode.UNPACK)
LOAD_PORT, STORE_PORT, FETCH_PORT = PORTS = range(3)
Finish = Callable[[int, int], None]
"""Takes an instruction and its end."""


@dataclass
class Request:
    """Bursts of a line that are on their way to the memory, or there."""

    numbers: list[int]
    kind: int
    on_bus: int
    handles: list[int] = field(default_factory=list)
    arrival: int = -1


class Memory:
    """The DRAM, and a bus to it for each port; times are cycles of the core."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.state = make_state(chip.memory, ports=len(PORTS), port_depth=RING, answers=4 * RING)
        self.answers = answers_of(self.state)
        self.tck_fs = int(self.state[H_TCK_FS])
        self.burst_bytes = get_standard(chip.memory.standard).burst_bytes
        self.asked = [0, 0, 0]
        self.on_the_way: list[deque[Request]] = [deque() for _ in PORTS]

    def line_sizes(self, dma: Dma) -> tuple[int, int]:
        """Bytes of a line, and how many lines of an engine may be open."""
        return line_bytes(dma, self.burst_bytes), open_lines(dma, self.burst_bytes)

    def core_cycle(self, memory_cycle: int) -> int:
        picoseconds = -(-memory_cycle * self.tck_fs // 1000)
        return picoseconds_to_cycles(picoseconds, self.chip.clock_mhz)

    def edge(self, cycle: int) -> int:
        """The memory's cycle in which a request that is on the bus in this cycle arrives."""
        picoseconds = cycles_to_picoseconds(cycle, self.chip.clock_mhz)
        return -(-picoseconds * 1000 // self.tck_fs)

    def send(self, port: int, numbers: list[int], kind: int, on_bus: int) -> Request:
        self.on_the_way[port].append(Request(numbers, kind, on_bus))
        return self.on_the_way[port][-1]

    def step(self, cycle: int) -> None:
        """Make everything that begins before this cycle."""
        dram.advance_all(self.state, self.edge(cycle))

    def take_requests(self, cycle: int) -> None:
        """Take what is on the buses in this cycle: load, store, fetch."""
        for port, waiting in enumerate(self.on_the_way):
            while waiting and waiting[0].on_bus <= cycle:
                request = waiting.popleft()
                for number in request.numbers:
                    handle = port * RING + self.asked[port] % RING
                    self.asked[port] += 1
                    address = number * self.burst_bytes
                    dram.request(self.state, port, handle, address, self.edge(cycle), request.kind)
                    request.handles.append(handle)

    def last_answer(self, request: Request, column: int) -> int:
        """The cycle from which all bursts of a request are answered, or -1 while that is not known."""
        known = [int(self.answers[handle, column]) for handle in request.handles]
        return -1 if min(known, default=-1) < 0 else self.core_cycle(max(known))

    def read_answer(self, request: Request) -> int:
        """The cycle from which a read's data can be on the bus, or -1 while that is not known."""
        completed = self.last_answer(request, A_COMPLETED)
        return -1 if completed < 0 else max(completed + self.chip.memory.latency_cycles, request.on_bus + 1)

    def acceptance(self, request: Request) -> int:
        """The cycle in which a write's response is on the bus, or -1 while that is not known."""
        admitted = self.last_answer(request, A_ADMITTED)
        return -1 if admitted < 0 else max(admitted, request.on_bus + 1)


@dataclass
class Line:
    """Bytes of an aligned line that an instruction moves: pieces are (bytes, run ends here).

    `wanted`: the bursts in which they lie, of a load with those that belong to its transfer, the smallest
    block of a power of two that holds them, or the whole line if that has pieces of several runs.
    `walked`: runs that lie wholly in it, but for the one that it begins with.
    """

    number: int
    pieces: list[tuple[int, bool]]
    wanted: set[int]
    walked: int = 0
    request: Request | None = None

    def widen(self, parts: int) -> None:
        """Make the bursts of a load's transfer of those that have its bytes."""
        size = 1
        while len({burst // size for burst in self.wanted}) > 1:
            size *= 2
        size = parts if len(self.pieces) > 1 else size
        first = min(self.wanted) // size * size
        self.wanted = set(range(first, first + size))


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


def lines_of(record: np.void, line: int, burst: int) -> deque[Line]:
    """The lines of an instruction in their order, for lines and bursts of so many bytes."""
    lines: deque[Line] = deque()
    for run in runs_of(record):
        size = record["packed_bytes" if record["opcode"] in PACKED else "run_bytes"]
        position, end = run, run + int(size)
        while position < end:
            number = position // line
            stop = min(end, (number + 1) * line)
            if not lines or lines[-1].number != number:
                lines.append(Line(number, [], set()))
            elif (position, stop) == (run, end):
                lines[-1].walked += 1
            lines[-1].pieces.append((stop - position, stop == end))
            lines[-1].wanted |= {byte // burst for byte in range(position, stop)}
            position = stop
    if record["opcode"] != Opcode.STORE:
        for one in lines:
            one.widen(line // burst)
    return lines


class LoadEngine:
    """A cycle is `take_answers`, `begin`, `request`, `move`.

    `moves`: it has made a request or a beat in this cycle.
    """

    def __init__(self, chip: Chip, memory: Memory, finish: Finish) -> None:
        self.dma, self.memory, self.finish = chip.core.dma, memory, finish
        self.width = self.dma.bytes_per_cycle
        self.later = UNPACK_STAGES if self.dma.int4 else 0
        self.line_bytes, self.slots = memory.line_sizes(self.dma)
        self.moves = False
        self.issue: deque[Line] = deque()
        self.issuing = -1
        self.issue_at = self.begin_at = self.issued = self.fill_beats = self.register = 0
        self.left: list[int] = []
        self.coming: list[Request] = []
        self.moving: deque[tuple[int, Line | None, bool]] = deque()
        self.decoders: deque[SteppedDecoder] = deque()
        self.decoder_lags = False

    def take_answers(self, cycle: int) -> None:
        """The bus brings a line in a cycle: of those that are due, the one that was requested first."""
        due = [one for one in self.coming if 0 <= self.memory.read_answer(one) <= cycle]
        for request in due[:1]:
            request.arrival = cycle
            self.coming.remove(request)

    def ready(self, cycle: int) -> bool:
        return self.issuing < 0 and cycle >= self.issue_at and not self.fill_beats

    def begin(self, index: int, record: np.void, cycle: int) -> int:
        """Take an instruction; return how many bursts it has."""
        if record["opcode"] == Opcode.FILL:
            self.begin_at = cycle + FILL_START_CYCLES + self.later
            self.fill_beats = len(runs_of(record)) * -(-int(record["run_bytes"]) // self.width)
            self.moving.append((index, None, True))
            return 0
        if record["opcode"] == Opcode.EXPAND:
            table = not record["flags"] & FLAG_KEEP_CODE
            sizes = int(record["packed_bytes"]), int(record["run_bytes"])
            self.decoders.append(SteppedDecoder(index, self.dma, *sizes, bool(table)))
        self.begin_at = cycle + LOAD_START_CYCLES
        self.issuing, self.issue = index, lines_of(record, self.line_bytes, self.memory.burst_bytes)
        return sum(len(line.wanted) for line in self.issue)

    def request(self, cycle: int) -> None:
        """Make a request, or pass over a run that the line requested last holds."""
        self.moves = cycle < self.issue_at
        if self.issuing < 0 or cycle < max(self.begin_at, self.issue_at):
            return
        before = self.issued - self.slots
        if before >= 0 and (len(self.left) <= before or self.left[before] >= cycle):
            return
        line = self.issue.popleft()
        line.request = self.memory.send(LOAD_PORT, sorted(line.wanted), 0, cycle + LOAD_REQUEST_STAGES)
        self.coming.append(line.request)
        self.issued += 1
        self.moves = True
        self.moving.append((self.issuing, line, not self.issue))
        self.issue_at = cycle + 1 + line.walked
        if not self.issue:
            self.issuing = -1

    def _has_arrived(self, line: Line, cycle: int) -> bool:
        """Whether a line can go to SRAM: lines do so in the order of the requests."""
        assert line.request is not None
        return 0 <= line.request.arrival <= cycle - LOAD_ANSWER_STAGES - self.later

    def move(self, cycle: int) -> None:
        """One beat of up to `width` bytes of one run; bytes short of a beat go to a register."""
        beaten = False
        if self.decoders:
            self.decoders[0].step(cycle)
        if self.decoder_lags:
            self.moves = True
            self._end_expand(cycle)
            return
        while self.moving:
            index, line, last = self.moving[0]
            if line is None:
                if not beaten:
                    self._fill(index, cycle)
                return
            if not self._has_arrived(line, cycle):
                return
            size, run_ends = line.pieces[0]
            here = self.register + size
            if not beaten and (here >= self.width or run_ends):
                if not self._goes_to_decoder(index, cycle):
                    self.moves = True
                    return
                beaten = self.moves = True
                size = max(0, here - self.width)
                self.register = 0
                if size == 0 or (size < self.width and not run_ends):
                    self.register = size
                    line.pieces.pop(0)
                else:
                    line.pieces[0] = (size, run_ends)
            elif not beaten:
                self.register = here
                line.pieces.pop(0)
            else:
                return
            if not line.pieces:
                self._leave(index, last, cycle)
            if beaten:
                return

    def _leave(self, index: int, last: bool, cycle: int) -> None:
        """The oldest line leaves its slot."""
        self.left.append(cycle)
        self.moving.popleft()
        if last and self.decoders and self.decoders[0].index == index:
            self.decoder_lags = True
        elif last:
            self.finish(index, cycle + 1)

    def _fill(self, index: int, cycle: int) -> None:
        if cycle < self.begin_at:
            return
        self.fill_beats -= 1
        self.moves = True
        if self.fill_beats == 0:
            self.moving.popleft()
            self.finish(index, cycle + 1)

    def _goes_to_decoder(self, index: int, cycle: int) -> bool:
        """Give a beat of an EXPAND to its decoder; False if that has no room. Other beats go to SRAM."""
        if self.decoders and self.decoders[0].index == index:
            if not self.decoders[0].has_room(cycle):
                return False
            self.decoders[0].take_beat(cycle)
        return True

    def _end_expand(self, cycle: int) -> None:
        """The bytes are in; the instruction ends with its decoder."""
        if self.decoders[0].is_done(cycle):
            self.decoder_lags = False
            self.finish(self.decoders.popleft().index, cycle + 1)


class StoreEngine:
    """A cycle is `accept`, `request`, `begin`, `move`; `moves`: it has made a request or read a beat."""

    def __init__(self, chip: Chip, memory: Memory, finish: Finish) -> None:
        self.dma, self.memory, self.finish = chip.core.dma, memory, finish
        self.width = self.dma.bytes_per_cycle
        self.line_bytes, self.slots = memory.line_sizes(self.dma)
        self.moves = False
        self.active = -1
        self.lines: deque[Line] = deque()
        self.run_left: deque[int] = deque()
        self.gathered: deque[tuple[int, Line, bool]] = deque()
        self.open: deque[tuple[Request, int, bool]] = deque()
        self.accepted: list[int] = []
        self.begun = self.register = self.last_end = self.begin_at = 0

    def accept(self) -> None:
        """Note responses: they come in order, one in a cycle."""
        while self.open:
            request, index, last = self.open[0]
            accepted = self.memory.acceptance(request)
            if accepted < 0:
                return
            self.open.popleft()
            self.accepted.append(max([accepted, *(one + 1 for one in self.accepted[-1:])]))
            if last:
                self.last_end = max(self.accepted[-1], self.last_end) + 1
                self.finish(index, self.last_end)

    def request(self, cycle: int) -> None:
        self.moves = bool(self.gathered) and self.gathered[0][0] <= cycle
        if not self.moves:
            return
        _, line, last = self.gathered.popleft()
        request = self.memory.send(STORE_PORT, sorted(line.wanted), 1, cycle + STORE_REQUEST_STAGES)
        self.open.append((request, self.active, last))
        if last:
            self.active = -1

    def ready(self) -> bool:
        return self.active < 0

    def begin(self, index: int, record: np.void, cycle: int) -> int:
        """Take an instruction; return how many bursts it has."""
        self.begin_at = cycle + STORE_START_CYCLES
        self.active, self.lines = index, lines_of(record, self.line_bytes, self.memory.burst_bytes)
        self.run_left = deque([int(record["run_bytes"])] * len(runs_of(record)))
        return sum(len(line.wanted) for line in self.lines)

    def _has_slot(self, cycle: int) -> bool:
        before = self.begun - self.slots
        is_free = before < 0 or (before < len(self.accepted) and self.accepted[before] < cycle)
        return is_free and cycle >= self.begin_at

    def move(self, cycle: int) -> None:
        """One beat of up to `width` bytes of one run; its bytes go to lines that have a slot."""
        beaten = False
        while self.active >= 0 and self.lines and self._has_slot(cycle):
            line = self.lines[0]
            size, run_ends = line.pieces[0]
            if beaten and (self.register < size or run_ends):
                return
            if self.register < size:
                beat = min(self.width, self.run_left[0])
                self.run_left[0] -= beat
                self.register += beat
                self.moves = True
            beaten = True
            if self.register < size:
                line.pieces[0] = (size - self.register, run_ends)
                self.register = 0
                return
            self.register -= size
            line.pieces.pop(0)
            if run_ends:
                self.run_left.popleft()
            if not line.pieces:
                self.lines.popleft()
                self.begun += 1
                self.gathered.append((cycle + 1, line, not self.lines))
