"""The decoder of packed weights beside plain Python: bytes, cycles, and streams that are none."""

from __future__ import annotations

import random

import pytest
from expand_model import TABLE_BYTES, canonical, decode_words, encode_words, random_lengths, table_of

from hanok.isa.timing import (
    EXPAND_BEAT_CYCLES,
    EXPAND_BEGIN_CYCLES,
    EXPAND_TABLE_CYCLES,
    EXPAND_WRITE_CYCLES,
    expand_ring_bytes,
)
from hanok.machine import Dma
from hanok.rtl.expand import Expander
from hanok.rtl.simulate import Simulation

BITS = 12
SHAPES = ((4, 2), (7, 1), (8, 4))
DESIGNS: dict[tuple[int, int], Simulation] = {}


def dma_of(width: int, lanes: int) -> Dma:
    return Dma(bytes_per_cycle=width, outstanding=4, expand_lanes=lanes)


def design_of(width: int, lanes: int) -> Simulation:
    if (width, lanes) not in DESIGNS:
        DESIGNS[width, lanes] = Simulation(Expander(dma_of(width, lanes), BITS))
    return DESIGNS[width, lanes]


class Run:
    """Feed a stream; beats come when there is room for them, after gaps."""

    def __init__(self, design: Simulation, dma: Dma, rng: random.Random, gap: float) -> None:
        self.design, self.dma, self.rng, self.gap = design, dma, rng, gap
        self.memory: dict[int, int] = {}
        self.cycle = 0
        self.bad = False
        self.beats: list[int] = []
        self.last = -1

    def feed(self, packed: bytes, with_table: bool, count: int, address: int, most: int = 5000) -> None:
        width = self.dma.bytes_per_cycle
        head = TABLE_BYTES if with_table else 0
        credit = expand_ring_bytes(self.dma) + head
        self.beats, self.last, sent = [], -1, 0
        self.design.set(stream=int(with_table) | (count - 1) << 1 | address << 33)
        for _ in range(most):
            goes = sent < len(packed) and credit >= width and self.rng.random() >= self.gap
            beat = packed[sent : sent + width] if goes else b""
            sent += len(beat)
            self.design.step(
                en=int(goes),
                content=int.from_bytes(beat, "little"),
                bytes=len(beat),
                ends=int(goes and sent >= len(packed)),
            )
            if goes:
                self.beats.append(self.cycle)
                credit -= width
            credit += 2 * self.design.get("taken")
            self._note()
            self.cycle += 1
            if self.bad or self.last >= 0:
                break

    def _note(self) -> None:
        get = self.design.get
        if get("sram__en"):
            for lane in range(self.dma.expand_lanes):
                if get("sram__mask") >> lane & 1:
                    self.memory[get("sram__address") + lane] = get("sram__data") >> 8 * lane & 255
        self.bad = self.bad or bool(get("bad"))
        if get("last"):
            self.last = self.cycle


def expected_last(dma: Dma, beats: list[int], packed_bytes: int, taken: list[int], with_table: bool) -> int:
    """The cycle of the last write, from those of the beats, by the text of docs/timing.md."""
    width, head = dma.bytes_per_cycle, TABLE_BYTES if with_table else 0
    if with_table:
        begin = beats[-(-TABLE_BYTES // width) - 1] + EXPAND_TABLE_CYCLES
    else:
        begin = beats[0] + EXPAND_BEGIN_CYCLES
    cycle, gone = begin - 1, 0
    for after in taken:
        needed = min(packed_bytes, head + 2 * (gone + dma.expand_lanes))
        cycle = max(cycle + 1, beats[-(-needed // width) - 1] + EXPAND_BEAT_CYCLES)
        gone = after
    return cycle + EXPAND_WRITE_CYCLES


def packed_of(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(2, "little") for word in words)


@pytest.mark.parametrize(("width", "lanes"), SHAPES)
def test_streams_decode_to_the_bytes_of_plain_python(width: int, lanes: int) -> None:
    dma, design, rng = dma_of(width, lanes), design_of(width, lanes), random.Random(lanes)
    design.reset()
    lengths: dict[int, int] = {}
    for number in range(40):
        with_table = number == 0 or rng.random() < 0.5
        if with_table:
            symbols = rng.choice([1, 2, 3, 20, 256])
            lengths = random_lengths(rng, symbols, 15 if symbols < 256 else rng.choice([8, 12, 15]))
        pool = rng.sample(sorted(lengths), max(1, len(lengths) // rng.choice([1, 4])))
        content = bytes(rng.choices(pool, k=rng.choice([1, lanes, lanes + 1, 100, 400])))
        words = encode_words(content, lengths, dma)
        model = decode_words(words, lengths, dma, len(content))
        assert model.content == content
        assert model.is_good
        packed = (table_of(lengths) if with_table else b"") + packed_of(words)
        run = Run(design, dma, rng, rng.choice([0, 0, 0.5, 0.9]))
        address = rng.randrange((1 << BITS) - len(content) + 1)
        run.feed(packed, with_table, len(content), address)
        assert not run.bad, number
        assert bytes(run.memory[at] for at in range(address, address + len(content))) == content, number
        assert len(run.memory) == len(content)
        assert run.last == expected_last(dma, run.beats, len(packed), model.taken, with_table), number


def broken_streams(dma: Dma, rng: random.Random) -> dict[str, bytes]:
    lengths = random_lengths(rng, 20, 15)
    content = bytes(rng.choices(sorted(lengths), k=100))
    words = packed_of(encode_words(content, lengths, dma))
    too_many = dict.fromkeys(range(129), 7)
    one = next(iter(lengths))
    return {
        "a word is missing": table_of(lengths) + words[:-2],
        "words too many": table_of(lengths) + words + bytes(80),
        "many words too many": table_of(lengths) + words + bytes(500),
        "more codes than there are": table_of(too_many) + words,
        "no codes": bytes(TABLE_BYTES) + words,
        "bits without a code": table_of({one: 1}) + b"\xff" * 100,
    }


@pytest.mark.parametrize("name", broken_streams(dma_of(8, 4), random.Random(0)))
def test_what_is_no_stream_is_bad_and_writes_nothing_outside(name: str) -> None:
    dma, design, rng = dma_of(8, 4), design_of(8, 4), random.Random(0)
    design.reset()
    run = Run(design, dma, rng, 0.1)
    run.feed(broken_streams(dma, random.Random(0))[name], True, 100, 700)
    assert run.bad
    assert all(700 <= at < 800 for at in run.memory)


def test_a_code_is_kept_and_there_is_none_after_a_reset() -> None:
    dma, design = dma_of(8, 4), design_of(8, 4)
    design.reset()
    run = Run(design, dma, random.Random(0), 0)
    run.feed(bytes(2), False, 1, 0)
    assert run.bad


def test_the_plain_model_has_the_longest_codes() -> None:
    lengths = random_lengths(random.Random(1), 256, 15)
    assert max(len(code) for code in canonical(lengths).values()) == 15
