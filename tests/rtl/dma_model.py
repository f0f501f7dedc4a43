"""The DMA engines in plain Python, cycle by cycle by the rules of docs/timing.md, and programs for them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hanok.isa.table import DMA, Opcode
from hanok.isa.timing import FILL_START_CYCLES, LOAD_START_CYCLES, STORE_START_CYCLES

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Transfer:
    """The fields of a DMA instruction that matter here."""

    opcode: Opcode
    run_bytes: int
    dram_address: int
    sram_address: int
    counts: tuple[int, int, int]
    dram_strides: tuple[int, int, int]
    sram_strides: tuple[int, int, int]
    value: int = 0
    packed_bytes: int = 0
    group_rows: int = 0

    @property
    def read_bytes(self) -> int:
        """Bytes of a run in DRAM."""
        return self.packed_bytes or self.run_bytes

    def runs(self) -> list[tuple[int, int]]:
        """DRAM and SRAM address of each run, in order."""
        found = []
        for index in np.ndindex(*self.counts):
            dram = self.dram_address + sum(i * s for i, s in zip(index, self.dram_strides, strict=True))
            sram = self.sram_address + sum(i * s for i, s in zip(index, self.sram_strides, strict=True))
            found.append((dram, sram))
        return found

    def record(self) -> int:
        """The instruction as the bits of its record."""
        values = {
            "opcode": int(self.opcode),
            "run_bytes": self.run_bytes,
            "dram_address": self.dram_address,
            "sram_address": self.sram_address,
            "value": self.value,
            "packed_bytes": self.packed_bytes,
            "group_rows": self.group_rows,
        }
        for place, level in enumerate((3, 2, 1)):
            values[f"count_{level}"] = self.counts[place]
            values[f"dram_stride_{level}"] = self.dram_strides[place]
            values[f"sram_stride_{level}"] = self.sram_strides[place]
        bits, at = 0, 0
        for one in DMA.fields:
            size = 8 * np.dtype(one.code).itemsize * one.count
            bits |= (values.get(one.name, 0) & (1 << size) - 1) << at
            at += size
        return bits


@dataclass
class Line:
    """Bytes of an aligned line, from the first one on.

    Pieces are (bytes, run ends here); `walked`: later runs that lie wholly in it.
    """

    number: int
    first: int
    pieces: list[tuple[int, bool]]
    walked: int = 0

    def block(self, burst_bytes: int, line_bytes: int) -> tuple[int, int]:
        """Address and bytes of the transfer that reads it."""
        size = burst_bytes if len(self.pieces) == 1 else line_bytes
        last = self.first + self.pieces[0][0] - 1
        while self.first // size != last // size:
            size *= 2
        return self.first // size * size, size


def lines_of(transfer: Transfer, line_bytes: int) -> deque[Line]:
    lines: deque[Line] = deque()
    for run, _ in transfer.runs():
        position, end = run, run + transfer.read_bytes
        while position < end:
            number = position // line_bytes
            stop = min(end, (number + 1) * line_bytes)
            if not lines or lines[-1].number != number:
                lines.append(Line(number, position, []))
            elif (position, stop) == (run, end):
                lines[-1].walked += 1
            lines[-1].pieces.append((stop - position, stop == end))
            position = stop
    return lines


@dataclass
class LoadModel:
    """The load engine: a cycle is `begin`, `request`, `move`.

    `walks`: a run that lies wholly in the line that was requested last costs the requests a cycle. `later`:
    of the SRAM side.
    """

    width: int
    burst_bytes: int
    line_bytes: int
    slots: int
    walks: bool
    later: int = 0
    cycle: int = 0
    issue: deque[Line] = field(default_factory=deque)
    issuing: int = -1
    issue_at: int = 0
    issued: int = 0
    left: list[int] = field(default_factory=list)
    moving: deque[tuple[int, Line | None, bool, int]] = field(default_factory=deque)
    fill_beats: int = 0
    fill_at: int = 0
    register: int = 0
    end: dict[int, int] = field(default_factory=dict)
    arrival: dict[int, int] = field(default_factory=dict)

    def ready(self) -> bool:
        return self.issuing < 0 and self.cycle >= self.issue_at and not self.fill_beats

    def begin(self, index: int, transfer: Transfer) -> None:
        if transfer.opcode == Opcode.FILL:
            self.fill_beats = len(transfer.runs()) * -(-transfer.run_bytes // self.width)
            self.fill_at = self.cycle + FILL_START_CYCLES + self.later
            self.moving.append((index, None, True, -1))
        else:
            self.issuing, self.issue = index, lines_of(transfer, self.line_bytes)
            self.issue_at = self.cycle + LOAD_START_CYCLES

    def request(self) -> tuple[int, int] | None:
        """Make the request of this cycle, if there is one; return address and bytes of its transfer."""
        if self.issuing < 0 or self.cycle < self.issue_at:
            return None
        before = self.issued - self.slots
        if before >= 0 and (len(self.left) <= before or self.left[before] >= self.cycle):
            return None
        line = self.issue.popleft()
        self.moving.append((self.issuing, line, not self.issue, self.issued))
        self.issued += 1
        self.issue_at = self.cycle + 1 + (line.walked if self.walks else 0)
        if not self.issue:
            self.issuing = -1
        return line.block(self.burst_bytes, self.line_bytes)

    def move(self) -> bool:
        """Move at most one beat; return whether one went."""
        beaten = False
        while self.moving:
            index, line, last, order = self.moving[0]
            if line is None:
                if not beaten and self.cycle >= self.fill_at:
                    self.fill_beats -= 1
                    if self.fill_beats == 0:
                        self.moving.popleft()
                        self.end[index] = self.cycle + 1
                    return True
                return beaten
            if self.arrival.get(order, self.cycle + 1) > self.cycle:
                return beaten
            size, run_ends = line.pieces[0]
            here = self.register + size
            if not beaten and (here >= self.width or run_ends):
                beaten = True
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
                return beaten
            if line.pieces:
                if beaten:
                    return beaten
                continue
            self.left.append(self.cycle)
            self.moving.popleft()
            if last:
                self.end[index] = self.cycle + 1
            if beaten:
                return beaten
        return beaten


@dataclass
class StoreModel:
    """The store engine: a cycle is `request`, then `begin`, then `move`."""

    width: int
    line_bytes: int
    slots: int
    cycle: int = 0
    active: int = -1
    lines: deque[Line] = field(default_factory=deque)
    run_left: deque[int] = field(default_factory=deque)
    gathered: deque[tuple[int, Line, bool]] = field(default_factory=deque)
    open: deque[tuple[int, bool]] = field(default_factory=deque)
    accepted: list[int] = field(default_factory=list)
    begun: int = 0
    read_at: int = 0
    register: int = 0
    end: dict[int, int] = field(default_factory=dict)

    def begin(self, index: int, transfer: Transfer) -> None:
        self.active, self.lines = index, lines_of(transfer, self.line_bytes)
        self.read_at = self.cycle + STORE_START_CYCLES
        self.run_left = deque([transfer.run_bytes] * len(transfer.runs()))

    def accept(self) -> None:
        """The memory accepts the oldest open write in this cycle."""
        index, last = self.open.popleft()
        self.accepted.append(self.cycle)
        if last:
            self.end[index] = self.cycle + 1

    def request(self) -> int | None:
        if not self.gathered or self.gathered[0][0] > self.cycle:
            return None
        _, line, last = self.gathered.popleft()
        self.open.append((self.active, last))
        if last:
            self.active = -1
        return line.number

    def has_slot(self) -> bool:
        before = self.begun - self.slots
        is_free = before < 0 or (before < len(self.accepted) and self.accepted[before] < self.cycle)
        return is_free and self.cycle >= self.read_at

    def move(self) -> bool:
        """Read at most one beat; return whether one was read."""
        beaten, reads = False, False
        while self.active >= 0 and self.lines and self.has_slot():
            line = self.lines[0]
            size, run_ends = line.pieces[0]
            if beaten and (self.register < size or run_ends):
                return reads
            if self.register < size:
                beat = min(self.width, self.run_left[0])
                self.run_left[0] -= beat
                self.register += beat
                reads = True
            beaten = True
            if self.register < size:
                line.pieces[0] = (size - self.register, run_ends)
                self.register = 0
                return reads
            self.register -= size
            line.pieces.pop(0)
            if run_ends:
                self.run_left.popleft()
            if not line.pieces:
                self.lines.popleft()
                self.begun += 1
                self.gathered.append((self.cycle + 1, line, not self.lines))
        return reads


@dataclass(frozen=True)
class Sizes:
    """Bytes of beats, bursts and lines of an engine, and how many lines may be open."""

    width: int
    burst: int
    line: int
    slots: int

    @classmethod
    def of(cls, shape: tuple[int, int, int]) -> Sizes:
        """From beat, burst and `outstanding`: a line is the least power of two that holds a beat."""
        width, burst, outstanding = shape
        line = burst
        while line < width:
            line *= 2
        return cls(width, burst, line, max(1, outstanding * burst // line))


def random_transfer(
    random: np.random.Generator,
    opcode: Opcode,
    sizes: Sizes,
    dram: int,
    sram: int,
    alone: bool,
) -> Transfer:
    """Return a transfer inside memories of `dram` and `sram` bytes.

    `alone`: its runs are so long or so far from each other that none lies wholly in a line that the run
    before it ends in.
    """
    width, line = sizes.width, sizes.line
    parts = [sizes.burst - 1, sizes.burst] if sizes.burst < line else []
    while True:
        choices = [1, 2, 3, width - 1, width, width + 1, line - 1, line, line + 1, 3 * line, *parts]
        size = max(1, int(random.choice(choices)) + int(random.integers(0, 3)))
        counts = [int(random.choice([1, 1, 2, 3, 5])) for _ in range(3)]
        near, steps = int(random.choice([1, 1, 2, line])), [0, 0, 0]
        for place in range(3):
            kind = int(random.integers(5))
            step = [
                0,
                size,
                int(random.integers(1, 2 * line)),
                line * near,
                size + int(random.integers(9)),
            ][kind]
            steps[place] = step * int(random.choice([-1, 1]))
        lanes = [int(random.choice([-1, 1])) * (size + int(random.integers(0, 40))) for _ in range(3)]
        transfer = Transfer(
            opcode,
            size,
            int(random.integers(dram)),
            int(random.integers(sram)),
            (counts[0], counts[1], counts[2]),
            (steps[0], steps[1], steps[2]),
            (lanes[0], lanes[1], lanes[2]),
            int(random.integers(-128, 128)),
        )
        runs = transfer.runs()
        inside = all(0 <= d <= dram - size and 0 <= s <= sram - size for d, s in runs)
        walked = any(one.walked for one in lines_of(transfer, line))
        if inside and not (alone and walked and opcode == Opcode.LOAD):
            return transfer
