"""The fetcher against the rules of docs/timing.md in plain Python, with random memories and dispatch."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from hanok.errors import ChipError
from hanok.rtl.fetch import WORD_LATENCY_CYCLES, Fetcher
from hanok.rtl.simulate import Simulation

SHAPES = [(4, 512), (32, 512), (64, 700), (128, 1024), (64, 8192), (512, 513)]
"""Bytes of a burst and of the buffer."""


class Bench:
    """Code in memory, a memory that answers in order after any time, and words that are dispatched later."""

    def __init__(self, shape: tuple[int, int], design: Simulation, seed: int) -> None:
        self.burst, self.buffer = shape
        self.design, self.random = design, np.random.default_rng(seed)
        self.answer_rate, self.grant_rate, self.word_rate, self.dispatch_rate = (
            float(self.random.choice([1.0, 0.5, 0.1])) for _ in range(4)
        )
        sizes = [0, 4, 8, self.burst, self.buffer // 4 * 4, 4 * int(self.random.integers(1, 1500))]
        self.size = int(self.random.choice(sizes))
        self.address = 4 * int(self.random.integers(0, 1 << 20))
        self.memory = self.random.integers(0, 1 << 32, (self.size + 2 * self.burst) // 4, np.uint64).tolist()
        self.base = self.address // self.burst * self.burst
        self.pending: deque[tuple[int, int]] = deque()
        self.arrival: list[int] = []
        self.words: list[tuple[int, int]] = []
        self.requested, self.dispatched = 0, 0
        self.on_bus: int | None = None
        self.failing = int(self.random.integers(0, 8))
        design.step(start=1, stop=0, code_address=self.address, code_bytes=self.size, words__ready=0,
                    request__ready=0, answer__valid=0, dispatched_bytes=0)  # fmt: skip
        assert design.get("unaligned") == 0
        design.set(start=0)
        design.cycle = 0

    def behind(self) -> int:
        """Bytes of the code up to the end of the next burst."""
        return min(self.size, self.base + (self.requested + 1) * self.burst - self.address)

    def wants(self) -> bool:
        bursts = -(-(self.address + self.size - self.base) // self.burst) if self.size else 0
        return self.requested < bursts and self.behind() - self.dispatched <= self.buffer

    def cycle(self) -> None:
        design, random, now = self.design, self.random, self.design.cycle
        inputs = {"answer__valid": 0, "dispatched_bytes": self.dispatched}
        if self.pending and self.pending[0][1] < now and random.random() < self.answer_rate:
            number = self.pending.popleft()[0]
            first = number * self.burst // 4
            words = self.memory[first : first + self.burst // 4]
            data = sum(word << 32 * place for place, word in enumerate(words))
            failed = number == self.failing
            inputs |= {"answer__valid": 1, "answer__payload": data | failed << 8 * self.burst}
            self.arrival.append(now)
        grants, takes = random.random() < self.grant_rate, random.random() < self.word_rate
        design.step(request__ready=int(grants), words__ready=int(takes), **inputs)
        assert design.get("request__valid") == (self.on_bus is not None)
        if self.on_bus is not None:
            assert design.get("request__payload") == self.base + self.on_bus * self.burst
            if grants:
                self.pending.append((self.on_bus, now))
                self.on_bus = None
        if self.on_bus is None and self.wants():
            self.on_bus, self.requested = self.requested, self.requested + 1
        self.check_word(now, takes)
        if random.random() < self.dispatch_rate:
            self.dispatched = 4 * int(random.integers(self.dispatched // 4, len(self.words) + 1))

    def check_word(self, now: int, takes: bool) -> None:
        """A word is there some cycles after its burst, and right after the one before it."""
        place, design = len(self.words), self.design
        assert design.get("exhausted") == (4 * place == self.size)
        if 4 * place == self.size:
            assert not design.get("words__valid")
            return
        at = self.address - self.base + 4 * place
        number = at // self.burst
        there = number < len(self.arrival) and self.arrival[number] + WORD_LATENCY_CYCLES <= now
        assert design.get("words__valid") == there
        if there and takes:
            last = 4 * place + 4 == self.size
            expected = self.memory[at // 4] | last << 32 | (number == self.failing) << 33
            assert design.get("words__payload") == expected
            self.words.append((now, number))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_requests_and_words_are_in_the_cycles_of_the_rules(shape: tuple[int, int]) -> None:
    design, most = Simulation(Fetcher(*shape, address_bits=40)), 0
    for seed in range(25):
        bench = Bench(shape, design, seed)
        for _ in range(4000):
            bench.cycle()
            most = max(most, bench.requested - bench.dispatched // shape[0])
            if 4 * len(bench.words) == bench.size and not bench.pending and not bench.wants():
                break
        assert 4 * len(bench.words) == bench.size or bench.design.cycle >= 4000
        if bench.design.cycle >= 4000:
            abandon(bench)
        design.step(words__ready=0, answer__valid=0, request__ready=0)
        assert not design.get("busy")
    assert most * shape[0] >= shape[1] // 2, "the buffer was filled"


def abandon(bench: Bench) -> None:
    """Stop in the middle: what is still to come is dropped, and then the fetcher is free."""
    design = bench.design
    design.step(stop=1, answer__valid=0, request__ready=0, words__ready=0)
    design.set(stop=0)
    for left in range(len(bench.pending), 0, -1):
        design.step(answer__valid=0)
        assert (design.get("busy"), design.get("words__valid"), design.get("request__valid")) == (1, 0, 0)
        design.step(answer__valid=1)
        assert left
    design.step(answer__valid=0)


@pytest.mark.parametrize("cycles", [1, 3, 10, 37])
def test_after_a_stop_other_code_is_read(cycles: int) -> None:
    shape = SHAPES[1]
    design = Simulation(Fetcher(*shape, address_bits=40))
    for seed in range(10):
        bench = Bench(shape, design, seed)
        for _ in range(cycles):
            bench.cycle()
        abandon(bench)
        design.step()
        assert not design.get("busy")


@pytest.mark.parametrize(("address", "size"), [(2, 8), (8, 2), (1, 0), (0, 7)])
def test_code_that_is_not_whole_words_is_refused(address: int, size: int) -> None:
    design = Simulation(Fetcher(*SHAPES[1], address_bits=40))
    design.step(start=1, code_address=address, code_bytes=size)
    assert design.get("unaligned")
    design.step(start=0)
    assert (design.get("unaligned"), design.get("busy"), design.get("request__valid")) == (0, 0, 0)


def test_a_buffer_that_holds_no_burst_is_refused() -> None:
    with pytest.raises(ChipError, match=r"fetch_buffer_bytes: 512 bytes hold no burst of 1024; allowed: at"):
        Simulation(Fetcher(1024, 512))
