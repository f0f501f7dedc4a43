"""The lines of a UART in simulation, as a link to a board: bytes become bits, bit by bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.rtl.simulate import Simulation


class UartLink:
    """Samples of `transmit` are kept and decoded as their bytes are complete."""

    def __init__(self, simulation: Simulation, cycles_per_bit: int) -> None:
        self._simulation, self._cycles = simulation, cycles_per_bit
        self._receive, self._transmit = "receive", "transmit"
        self._seen = np.ones(0, np.uint8)
        self._bytes = bytearray()
        self._clock(np.ones(4 * cycles_per_bit, np.int64))

    def write(self, content: bytes) -> None:
        values = np.frombuffer(content, np.uint8)
        bits = np.ones((len(values), 10), np.int64)
        bits[:, 0] = 0
        bits[:, 1:9] = values[:, None] >> np.arange(8) & 1
        self._clock(np.repeat(bits.reshape(-1), self._cycles))

    def read(self, count: int) -> bytes:
        quiet = 0
        while len(self._bytes) < count and quiet < 4:
            before = len(self._bytes)
            self._clock(np.ones(self._cycles * 10 * (count - before + 2), np.int64))
            quiet = quiet + 1 if len(self._bytes) == before else 0
        found, self._bytes = bytes(self._bytes[:count]), self._bytes[count:]
        return found

    def _clock(self, line: npt.NDArray[np.int64]) -> None:
        found = self._simulation.run(len(line), {self._receive: line}, [self._transmit])[self._transmit]
        self._seen = np.concatenate([self._seen, found.astype(np.uint8)])
        self._decode()

    def _decode(self) -> None:
        at, cycles = 0, self._cycles
        while True:
            starts = np.flatnonzero(self._seen[at:] == 0)
            if not len(starts):
                at = len(self._seen)
                break
            start = at + int(starts[0])
            if start + 10 * cycles > len(self._seen):
                at = start
                break
            middles = self._seen[start + cycles // 2 : start + 10 * cycles : cycles]
            assert middles[9] == 1, "a byte without its stop bit"
            self._bytes.append(int(sum(int(bit) << place for place, bit in enumerate(middles[1:9]))))
            at = start + 9 * cycles + cycles // 2 + 1
        self._seen = self._seen[at:]
