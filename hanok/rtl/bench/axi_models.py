"""Memory behind AXI4 ports and a host on AXI4-Lite, which check the rules of AXI."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

OKAY, DECODE_ERROR = 0, 3


@dataclass(frozen=True)
class Speed:
    """How a memory answers: after `latency` to `latency` + `spread` cycles, and not ready in part of them."""

    latency: int = 1
    spread: int = 0
    stalls: float = 0.0


class Signals:
    """The signals of one bus: inputs are written where they change, outputs read as integers."""

    def __init__(self, core: Any, prefix: str) -> None:
        self._core, self._prefix = core, prefix
        self._written: dict[str, int] = {}

    def _handle(self, name: str) -> Any:
        return getattr(self._core, f"{self._prefix}_{name}")

    def bits(self, name: str) -> int:
        return len(self._handle(name))

    def set(self, **values: int) -> None:
        for name, value in values.items():
            if self._written.get(name) != value:
                self._handle(name).value = value
                self._written[name] = value

    def written(self, name: str) -> int:
        return self._written[name]

    def get(self, name: str) -> int:
        """Return an output; ValueError if one of its bits is unknown."""
        return int(self._handle(name).value)

    def text(self, name: str) -> str:
        """Return an output as binary digits, unknown ones too."""
        return str(self._handle(name).value)


class Channel:
    """What a master must keep to on one channel: what is offered stays until it is taken."""

    def __init__(self, signals: Signals, letters: str, content: tuple[str, ...]) -> None:
        self._signals, self._letters, self._content = signals, letters, content
        self._waiting: tuple[str, ...] | None = None

    def taken(self) -> bool:
        """Look at this cycle; return whether there is a transfer."""
        valid = self._signals.get(f"{self._letters}valid")
        offer = tuple(self._signals.text(f"{self._letters}{name}") for name in self._content)
        if self._waiting is not None:
            assert valid, f"{self._letters}valid falls before the transfer"
            assert offer == self._waiting, f"{self._letters}: what is offered changes before the transfer"
        goes = bool(valid and self._signals.written(f"{self._letters}ready"))
        self._waiting = offer if valid and not goes else None
        return goes


_ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")


class _Port:
    """What both directions share: the memory, its speed, and checks of an address."""

    def __init__(self, core: Any, prefix: str, memory: bytearray, speed: Speed, data: str) -> None:
        self.signals, self.memory, self.speed = Signals(core, prefix), memory, speed
        self.random = random.Random(prefix)
        self.data_bytes = self.signals.bits(data) // 8
        self.moved_bytes = 0

    def may_go(self) -> int:
        return int(self.random.random() >= self.speed.stalls)

    def due(self, now: int) -> int:
        return now + self.speed.latency + self.random.randint(0, self.speed.spread)

    def address(self, letters: str) -> tuple[int, int]:
        """Return address and bytes of a transaction: one aligned transfer of at most the bus."""
        get = self.signals.get
        address, size = get(f"{letters}addr"), 1 << get(f"{letters}size")
        assert get(f"{letters}len") == 0, "a transaction is one transfer"
        assert size <= self.data_bytes, "a transfer is no wider than the bus"
        assert get(f"{letters}burst") == 1, "bursts are INCR"
        assert address % size == 0, "addresses are aligned"
        return address, size


class ReadPort(_Port):
    """Read channels: answers of one ID in order, of several in any order."""

    def __init__(self, core: Any, prefix: str, memory: bytearray, speed: Speed) -> None:
        super().__init__(core, prefix, memory, speed, "rdata")
        self._address = Channel(self.signals, "ar", _ADDRESS)
        self._open: list[tuple[int, int, int, int]] = []
        self._answer: tuple[int, int, int, int] | None = None

    def drive(self, now: int) -> None:
        if self._answer is None:
            self._answer = self._choose(now)
        self.signals.set(arready=self.may_go(), rvalid=int(self._answer is not None))
        if self._answer is not None:
            _, number, address, size = self._answer
            content = self.memory[address : address + size]
            is_there = len(content) == size
            lane = 8 * (address % self.data_bytes)
            self.signals.set(
                rid=number,
                rdata=int.from_bytes(content, "little") << lane if is_there else 0,
                rresp=OKAY if is_there else DECODE_ERROR,
                rlast=1,
            )

    def _choose(self, now: int) -> tuple[int, int, int, int] | None:
        """Take one of the answers that are due and the oldest of their ID."""
        seen: set[int] = set()
        ready = []
        for one in self._open:
            if one[1] not in seen and one[0] <= now:
                ready.append(one)
            seen.add(one[1])
        if not ready:
            return None
        chosen = self.random.choice(ready) if self.speed.spread else ready[0]
        self._open.remove(chosen)
        return chosen

    def sample(self, now: int) -> None:
        if self._answer is not None and self.signals.get("rready"):
            self._answer = None
        if self._address.taken():
            address, size = self.address("ar")
            self.moved_bytes += size
            self._open.append((self.due(now), self.signals.get("arid"), address, size))

    @property
    def is_idle(self) -> bool:
        return not self._open and self._answer is None


class WritePort(_Port):
    """Write channels: address and data in any order, strobes, one answer for each write.

    Of a write those bursts of the memory count as moved that have a strobe.
    """

    def __init__(self, core: Any, prefix: str, memory: bytearray, speed: Speed, burst_bytes: int) -> None:
        super().__init__(core, prefix, memory, speed, "wdata")
        self._burst_bytes = burst_bytes
        self._address = Channel(self.signals, "aw", _ADDRESS)
        self._data = Channel(self.signals, "w", ("data", "strb", "last"))
        self._addresses: deque[tuple[int, int]] = deque()
        self._contents: deque[dict[int, int]] = deque()
        self._answers: deque[tuple[int, int, int]] = deque()

    def drive(self, now: int) -> None:
        is_due = bool(self._answers) and self._answers[0][0] <= now
        self.signals.set(awready=self.may_go(), wready=self.may_go(), bvalid=int(is_due))
        if is_due:
            self.signals.set(bid=self._answers[0][1], bresp=self._answers[0][2])

    def sample(self, now: int) -> None:
        if self.signals.written("bvalid") and self.signals.get("bready"):
            self._answers.popleft()
        if self._address.taken():
            address, size = self.address("aw")
            assert size == self.data_bytes, "a write is as wide as the bus"
            self._addresses.append((self.signals.get("awid"), address))
        if self._data.taken():
            assert self.signals.get("wlast") == 1, "a transaction is one transfer"
            self._contents.append(self._strobed_bytes())
        while self._addresses and self._contents:
            number, address = self._addresses.popleft()
            self._write(now, number, address, self._contents.popleft())

    def _strobed_bytes(self) -> dict[int, int]:
        """Place -> byte of those that are written; only they must be known."""
        digits = self.signals.text("wdata")
        strobes = self.signals.get("wstrb")
        last = len(digits)
        return {
            place: int(digits[last - 8 * place - 8 : last - 8 * place], 2)
            for place in range(self.data_bytes)
            if strobes >> place & 1
        }

    def _write(self, now: int, number: int, address: int, content: dict[int, int]) -> None:
        self.moved_bytes += self._burst_bytes * len({place // self._burst_bytes for place in content})
        is_there = address + self.data_bytes <= len(self.memory)
        if is_there:
            for place, value in content.items():
                self.memory[address + place] = value
        due = max(self.due(now), self._answers[-1][0] if self._answers else 0)
        self._answers.append((due, number, OKAY if is_there else DECODE_ERROR))

    @property
    def is_idle(self) -> bool:
        return not self._addresses and not self._contents and not self._answers


class Host:
    """A master on AXI4-Lite that does one access at a time: begin one, then wait for `response`."""

    def __init__(self, core: Any, prefix: str) -> None:
        self.signals = Signals(core, prefix)
        self._next = dict.fromkeys(("awvalid", "wvalid", "arvalid", "awaddr", "wdata", "wstrb", "araddr"), 0)
        self.response: int | None = None
        self.data = 0

    def begin_write(self, offset: int, value: int, strobes: int) -> None:
        self.response = None
        self._next |= {"awvalid": 1, "wvalid": 1, "awaddr": offset, "wdata": value, "wstrb": strobes}

    def begin_read(self, offset: int) -> None:
        self.response = None
        self._next |= {"arvalid": 1, "araddr": offset}

    def drive(self, now: int) -> None:
        self.signals.set(bready=1, rready=1, **self._next)

    def sample(self, now: int) -> None:
        for letters in ("aw", "w", "ar"):
            if self._next[f"{letters}valid"] and self.signals.get(f"{letters}ready"):
                self._next[f"{letters}valid"] = 0
        if self.signals.get("bvalid"):
            self.response = self.signals.get("bresp")
        if self.signals.get("rvalid"):
            self.response, self.data = self.signals.get("rresp"), self.signals.get("rdata")
