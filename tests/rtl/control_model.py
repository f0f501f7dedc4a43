"""The control of the core in plain Python: which words stop a decoder, and queues and semaphores by cycle."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hanok.errors import ProgramError
from hanok.isa import Opcode, Unit, decode

UNITS = tuple(Unit)
HAS_FLAGS = {Opcode.CONV: 7, Opcode.DEPTHWISE: 3, Opcode.CHAIN: 1, Opcode.EXPAND: 1}
"""By hand from docs/isa.md, flags."""
MESSAGES = {
    "ILLEGAL_OPCODE": "illegal opcode",
    "NO_SUCH_WORD": "names words that its format does not have",
    "NO_SUCH_BIT": "sets bits behind the last field",
    "CUT_SHORT": "is cut short",
}


def refusal(code: bytes) -> str:
    """What the software decoder says of code, or nothing."""
    try:
        decode(code)
    except ProgramError as error:
        return str(error)
    return ""


def bad_masks(code: bytes, at: int) -> str:
    """The fault in the header at byte `at` that the software leaves to the verifier, or nothing."""
    opcode, wait, post, flags = code[at : at + 4]
    if (wait | post) >> len(UNITS):
        return "NO_SUCH_UNIT"
    return "NO_SUCH_FLAG" if flags & 0x7F & ~HAS_FLAGS.get(Opcode(opcode), 0) else ""


def is_right_fault(code: bytes, read: int, offset: int, cause: str) -> bool:
    """Whether a decoder that has taken `read` bytes must stop there, for this cause, at this instruction.

    What comes before the instruction is legal; of the instruction nothing but the last word read is wrong.
    """
    if refusal(code[:offset]) or any(bad_masks(code, int(at)) for at in decode(code[:offset]).offset_bytes):
        return False
    if cause in ("NO_SUCH_UNIT", "NO_SUCH_FLAG"):
        legal = "illegal opcode" not in refusal(code[:read])
        return legal and read == offset + 4 and bad_masks(code, offset) == cause
    if offset + 4 < read and bad_masks(code, offset):
        return False
    if cause == "CUT_SHORT" and read != len(code):
        return False
    earlier = refusal(code[: read - 4])
    if read - 4 > offset and "is cut short" not in earlier:
        return False
    found = refusal(code[:read])
    return MESSAGES[cause] in found and f"at byte {offset}" in found


@dataclass
class Work:
    """An instruction for the model of dispatch: masks, and the cycles from its start to its end."""

    unit: Unit
    wait: int
    post: int
    latency: int


@dataclass
class DispatchModel:
    """Posts, then dispatch, then takes and starts, as in docs/timing.md.

    A record is seen by its unit three cycles after its dispatch and two after the start of the one before,
    and takes counts that were posted before this cycle. Beyond it: a unit holds at most `in_flight`
    instructions that have not posted.
    """

    depth: int
    limit: int
    in_flight: int
    cycle: int = 0
    queues: dict[Unit, deque[tuple[int, Work]]] = field(default_factory=dict)
    owed: dict[Unit, deque[list[int]]] = field(default_factory=dict)
    """(end, mask that is left) of what has started and not posted."""
    counts: dict[tuple[Unit, Unit], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queues = {unit: deque() for unit in UNITS}
        self.owed = {unit: deque() for unit in UNITS}
        self.counts = {(source, target): 0 for source in UNITS for target in UNITS}
        self.full = dict.fromkeys(UNITS, False)
        self.last_end = dict.fromkeys(UNITS, 0)
        self.last_start = dict.fromkeys(UNITS, -2)
        self.has_taken = dict.fromkeys(UNITS, False)

    def post(self, unit: Unit) -> None:
        owed = self.owed[unit]
        if not owed or owed[0][0] > self.cycle:
            return
        for target in UNITS:
            if owed[0][1] >> target & 1 and self.counts[unit, target] < self.limit:
                self.counts[unit, target] += 1
                owed[0][1] &= ~(1 << target)
        if not owed[0][1]:
            owed.popleft()

    def is_stalled(self, unit: Unit) -> bool:
        return bool(self.owed[unit]) and self.owed[unit][0][0] <= self.cycle

    def missing(self, unit: Unit) -> int:
        """Mask of the units whose post the visible head lacks."""
        if not self.has_head(unit) or self.has_taken[unit]:
            return 0
        wait = self.queues[unit][0][1].wait
        return sum(1 << s for s in UNITS if wait >> s & 1 and not self.counts[s, unit])

    def has_head(self, unit: Unit) -> bool:
        seen = bool(self.queues[unit]) and self.queues[unit][0][0] + 3 <= self.cycle
        return seen and self.last_start[unit] + 2 <= self.cycle

    def take(self, unit: Unit) -> None:
        wait = self.queues[unit][0][1].wait
        for source in UNITS:
            if wait >> source & 1:
                self.counts[source, unit] -= 1
        self.has_taken[unit] = True

    def step(self, offered: Work | None, ready: dict[Unit, bool]) -> tuple[bool, dict[Unit, Work]]:
        """One cycle; return whether the offered instruction is dispatched, and what starts."""
        self.missing_now = {unit: self.missing(unit) for unit in UNITS}
        self.heads_now = {unit: self.has_head(unit) for unit in UNITS}
        blocked = {unit: bool(self.owed[unit]) and self.owed[unit][0][0] < self.cycle for unit in UNITS}
        for unit in UNITS:
            self.post(unit)
        for unit in UNITS:
            if self.heads_now[unit] and not self.has_taken[unit] and not self.missing_now[unit]:
                self.take(unit)
        dispatched = offered is not None and len(self.queues[offered.unit]) < self.depth
        if offered is not None and dispatched:
            self.queues[offered.unit].append((self.cycle, offered))
        self.stalled_now = {unit: blocked[unit] or self.is_stalled(unit) for unit in UNITS}
        started = {}
        for unit in UNITS:
            if not self.has_taken[unit] or not ready[unit] or blocked[unit] or self.full[unit]:
                continue
            work = self.queues[unit].popleft()[1]
            self.has_taken[unit], self.last_start[unit] = False, self.cycle
            self.last_end[unit] = max(self.cycle + work.latency, self.last_end[unit] + 1)
            self.owed[unit].append([self.last_end[unit], work.post])
            started[unit] = work
        self.full = {unit: len(self.owed[unit]) == self.in_flight for unit in UNITS}
        self.cycle += 1
        return dispatched, started
