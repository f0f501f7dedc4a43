"""The decoder of packed weights in the stepped model, by the rules of docs/timing.md."""

from __future__ import annotations

from hanok.isa.timing import (
    EXPAND_BEAT_CYCLES,
    EXPAND_BEGIN_CYCLES,
    EXPAND_ROOM_CYCLES,
    EXPAND_TABLE_CYCLES,
    EXPAND_WRITE_CYCLES,
    expand_ring_bytes,
)
from hanok.machine import Dma

TABLE_BYTES = 128


class SteppedDecoder:
    """One stream in the decoder; words are taken evenly. `step` comes before the beat of its cycle."""

    def __init__(self, index: int, dma: Dma, packed_bytes: int, symbols: int, with_table: bool) -> None:
        self.index, self.dma = index, dma
        self.packed_bytes, self.head = packed_bytes, TABLE_BYTES if with_table else 0
        groups = -(-symbols // dma.expand_lanes)
        words = (packed_bytes - self.head) // 2
        self.taken = [words * group // groups for group in range(groups + 1)]
        self.taken_at: list[int] = []
        self.beats: list[int] = []

    def has_room(self, cycle: int) -> bool:
        """Whether a beat can go: words that were taken long enough before have made room."""
        behind = (len(self.beats) + 1) * self.dma.bytes_per_cycle
        groups = sum(at <= cycle - EXPAND_ROOM_CYCLES for at in self.taken_at)
        return behind - self.head - 2 * self.taken[groups] <= expand_ring_bytes(self.dma)

    def take_beat(self, cycle: int) -> None:
        self.beats.append(cycle)

    def step(self, cycle: int) -> None:
        """Let a group of symbols take its words, if the code and they are there."""
        width, groups = self.dma.bytes_per_cycle, len(self.taken_at)
        first = -(-self.head // width) - 1 if self.head else 0
        if len(self.beats) <= first or groups == len(self.taken) - 1:
            return
        begin = self.beats[first] + (EXPAND_TABLE_CYCLES if self.head else EXPAND_BEGIN_CYCLES)
        there = width * sum(at <= cycle - EXPAND_BEAT_CYCLES for at in self.beats)
        enough = self.head + 2 * (self.taken[groups] + self.dma.expand_lanes)
        if cycle >= begin and there >= min(enough, self.packed_bytes):
            self.taken_at.append(cycle)

    def is_done(self, cycle: int) -> bool:
        """Whether the last symbol is written in this cycle."""
        is_last = len(self.taken_at) == len(self.taken) - 1
        return is_last and cycle == self.taken_at[-1] + EXPAND_WRITE_CYCLES
