"""Seeded random programs with EXPAND and UNPACK: packed streams in DRAM, and instructions between them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from core_bench import assert_equal
from core_programs import HALF, framed_program, memory_image, random_instructions
from expand_model import decode_words, encode_words, random_lengths, table_of
from unpack_streams import CORNERS as STREAM_CORNERS
from unpack_streams import corners_of, random_stream

from hanok.errors import VerifyError
from hanok.isa import Opcode, encode
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.machine import Chip

STREAMS = HALF // 2
"""Where packed streams begin in DRAM; random content lies before it."""
CORNERS = (
    "keeps code", "a symbol", "a code of 15 bits", "a code of one symbol", "last group is short",
    "less than a group", "longer than its bytes", "unaligned in DRAM", "unaligned in SRAM", "over the ring",
)  # fmt: skip
UNPACK_CORNERS = tuple(
    f"UNPACK: {name}"
    for name in (*STREAM_CORNERS, "unaligned in SRAM", "over a bank", "before an EXPAND", "behind an EXPAND")
)
MOST_WEIGHTS = 1500
"""Of an UNPACK, unless a group has more."""


@dataclass
class Packed:
    """An EXPAND or UNPACK, and the stream that it reads."""

    code: bytes
    address: int
    stream: bytes
    corners: set[str]


def packed_program(
    rng: np.random.Generator, chip: Chip, pool: list[bytes], most: int
) -> tuple[bytes, npt.NDArray[np.uint8], Counter[str]]:
    """A program of instructions of a pool, of EXPANDs and UNPACKs, its memory, and the corners of these.

    What a chip cannot do is left out.
    """
    while True:
        streams = list(_streams(rng, chip, int(rng.integers(1, 6)))) if chip.core.dma.expand_lanes else []
        if chip.core.dma.int4:
            streams = _mixed(rng, chip, streams, int(rng.integers(1, 6)))
        others = [pool[at] for at in rng.integers(0, len(pool), int(rng.integers(most)))]
        codes = list(others)
        places = sorted(rng.integers(0, len(others) + 1, len(streams)).tolist())
        for shift, (place, packed) in enumerate(zip(places, streams, strict=True)):
            codes.insert(place + shift, packed.code)
        try:
            code = framed_program(rng, chip, codes)
        except VerifyError:
            continue
        image = memory_image(rng, code)
        for packed in streams:
            image[packed.address : packed.address + len(packed.stream)] = np.frombuffer(
                packed.stream, np.uint8
            )
        return code, image, Counter(corner for packed in streams for corner in packed.corners)


def _streams(rng: np.random.Generator, chip: Chip, count: int) -> Iterator[Packed]:
    """EXPANDs of which the first one brings a code."""
    dma, plain = chip.core.dma, random.Random(int(rng.integers(1 << 30)))
    address, lengths, sram = STREAMS, {0: 1}, chip.core.sram.total_bytes
    for number in range(count):
        keeps = number > 0 and plain.random() < 0.5
        if not keeps:
            symbols = plain.choice([1, 2, 9, 60, 256])
            longest = plain.choice([8, 15]) if symbols > 15 else max(1, symbols - 1)
            lengths = random_lengths(plain, symbols, longest)
        pool = plain.sample(sorted(lengths), plain.randint(1, len(lengths)))
        size = plain.choice([1, dma.expand_lanes, 5 * dma.expand_lanes + 1, plain.randint(1, 600)])
        content = bytes(plain.choices(pool, k=size))
        words = encode_words(content, lengths, dma)
        assert decode_words(words, lengths, dma, size).content == content
        stream = b"" if keeps else table_of(lengths)
        stream += b"".join(word.to_bytes(2, "little") for word in words)
        address += plain.randrange(40)
        target = plain.randrange(sram - size + 1)
        values = {
            "flags": FLAG_KEEP_CODE if keeps else 0,
            "run_bytes": size,
            "packed_bytes": len(stream),
            "dram_address": address,
            "sram_address": target,
            **dict.fromkeys(("count_1", "count_2", "count_3"), 1),
        }
        holds = {
            "keeps code": keeps,
            "a symbol": size == 1,
            "a code of 15 bits": max(lengths[symbol] for symbol in content) == 15,
            "a code of one symbol": len(lengths) == 1,
            "last group is short": size % dma.expand_lanes > 0,
            "less than a group": size < dma.expand_lanes,
            "longer than its bytes": 2 * len(words) > size,
            "unaligned in DRAM": address % 8 > 0,
            "unaligned in SRAM": target % 8 > 0,
            "over the ring": 2 * len(words) > 128,
        }
        assert tuple(holds) == CORNERS
        yield Packed(encode(Opcode.EXPAND, values), address, stream, {name for name in holds if holds[name]})
        address += len(stream)
    assert address <= HALF


def _mixed(rng: np.random.Generator, chip: Chip, streams: list[Packed], count: int) -> list[Packed]:
    """UNPACKs between EXPANDs, their streams behind those of all EXPANDs."""
    dma, sram = chip.core.dma, chip.core.sram
    mixed, width = list(streams), dma.bytes_per_cycle
    address = max((one.address + len(one.stream) for one in streams), default=STREAMS)
    for _ in range(count):
        stream = random_stream(rng, width, chip.core.matrix.columns, most_bytes=MOST_WEIGHTS)
        address = -(-address // width) * width + width * int(rng.integers(3))
        target = int(rng.integers(sram.total_bytes - stream.run_bytes + 1))
        values = {
            "run_bytes": stream.run_bytes,
            "packed_bytes": len(stream.content),
            "group_rows": stream.group_rows,
            "dram_address": address,
            "sram_address": target,
            **dict.fromkeys(("count_1", "count_2", "count_3"), 1),
        }
        last = target + stream.run_bytes - 1
        place = int(rng.integers(len(mixed) + 1))
        holds = {
            "unaligned in SRAM": target % (2 * width) > 0,
            "over a bank": target // sram.bank_bytes < last // sram.bank_bytes,
            "before an EXPAND": place < len(mixed) and mixed[place] in streams,
            "behind an EXPAND": place > 0 and mixed[place - 1] in streams,
        }
        corners = {f"UNPACK: {name}" for name in (*corners_of(stream), *(n for n in holds if holds[n]))}
        assert corners <= set(UNPACK_CORNERS)
        mixed.insert(place, Packed(encode(Opcode.UNPACK, values), address, stream.content, corners))
        address += len(stream.content)
    assert address <= HALF
    return mixed


def run_packed(chip: Chip, seed: int, programs: int, most: int) -> Counter[str]:
    """Hold packed programs in gates against the models; return the corners that they reach."""
    reached: Counter[str] = Counter()
    for number, (code, image, corners) in enumerate(packed_programs(chip, seed, programs, most)):
        assert_equal(chip, code, image, f"program {number} of seed {seed}")
        reached += corners
    return reached


def packed_programs(
    chip: Chip, seed: int, programs: int, most: int
) -> Iterator[tuple[bytes, npt.NDArray[np.uint8], Counter[str]]]:
    """Programs of up to `most` instructions beside a few EXPANDs and UNPACKs."""
    rng = np.random.default_rng(seed)
    pool = random_instructions(rng, chip, 8 * most)
    for _ in range(programs):
        yield packed_program(rng, chip, pool, most)
