"""Seeded random legal programs for the whole core: random instructions, semaphores where order matters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from emulator_streams import (
    fields_of,
    is_legal,
    random_chain,
    random_dma,
    random_matrix,
    random_memory,
    random_table,
)
from vector_model import aligned

from hanok.compiler.verify import banks_touched, verify_code
from hanok.errors import VerifyError
from hanok.isa import Opcode, Source, Step, Unit, decode, encode
from hanok.isa.table import UNIT_OF
from hanok.machine import Chip
from hanok.simulator import simulate

CODE_ADDRESS = 1 << 17
DRAM_BYTES = CODE_ADDRESS
"""Loads read below the half of it, stores write above, so that no two of them meet."""
HALF = DRAM_BYTES // 2
SHARES = {
    Opcode.LOAD: 0.1,
    Opcode.FILL: 0.1,
    Opcode.STORE: 0.1,
    Opcode.CONV: 0.15,
    Opcode.DEPTHWISE: 0.15,
    Opcode.CHAIN: 0.35,
    Opcode.TABLE: 0.05,
}
MOST_CYCLES = 600
"""Of an instruction alone, so that gates run many of them."""
LONG = ("stride", "start", "limit", "pitch", "dilation", "x_tap", "x_block")
"""What fields are called that may be as long as they have bits, where no step of theirs is made."""


def random_instructions(rng: np.random.Generator, chip: Chip, count: int) -> list[bytes]:
    """Legal instructions to make programs of: most draws are not legal, so programs share them."""
    opcodes = rng.choice(list(SHARES), count, p=list(SHARES.values()))
    return [_instruction(rng, chip, Opcode(int(opcode))) for opcode in opcodes]


def random_programs(
    chip: Chip, seed: int, programs: int, instructions: int
) -> Iterator[tuple[bytes, npt.NDArray[np.uint8]]]:
    """Programs of up to `instructions` instructions, with the memory that each starts from."""
    rng = np.random.default_rng(seed)
    pool = random_instructions(rng, chip, 32 * instructions)
    for _ in range(programs):
        code = random_program(rng, chip, pool, int(rng.integers(1, instructions)))
        yield code, memory_image(rng, code)


def random_program(rng: np.random.Generator, chip: Chip, pool: list[bytes], count: int) -> bytes:
    """A program that fills the scratchpad, makes `count` instructions of a pool, and stores it."""
    while True:
        codes = [pool[at] for at in rng.integers(0, len(pool), count)]
        try:
            return framed_program(rng, chip, codes)
        except VerifyError:
            continue


def framed_program(rng: np.random.Generator, chip: Chip, codes: list[bytes]) -> bytes:
    """A program of these instructions between a load of the whole scratchpad and its store.

    A TABLE comes first if a step looks up. Raises VerifyError where they cannot stand in one program.
    """
    sram = chip.core.sram.total_bytes
    whole = {"run_bytes": sram, "count_1": 1, "count_2": 1, "count_3": 1}
    first = encode(Opcode.LOAD, {**whole, "dram_address": int(rng.integers(64)) * 4})
    last = encode(Opcode.STORE, {**whole, "dram_address": HALF + 64})
    program = _synchronised(rng, chip, [first, *_table_before(codes), *codes, last])
    verify_code(program, chip, DRAM_BYTES)
    return program


def memory_image(rng: np.random.Generator, code: bytes) -> npt.NDArray[np.uint8]:
    """DRAM with random content and the code."""
    image = np.zeros(CODE_ADDRESS + len(code) + 256, np.uint8)
    content = random_memory(rng)
    image[: len(content)] = content
    image[CODE_ADDRESS : CODE_ADDRESS + len(code)] = np.frombuffer(code, np.uint8)
    return image


def _instruction(rng: np.random.Generator, chip: Chip, opcode: Opcode) -> bytes:
    draw = {Unit.MATRIX: random_matrix, Unit.VECTOR: random_chain}.get(UNIT_OF[opcode], random_dma)
    if opcode is Opcode.TABLE:
        draw = random_table
    while True:
        code = draw(rng, chip)
        if decode(code).opcode[0] != opcode:
            continue
        if rng.random() < 0.3:
            code = _stretched(rng, code)
        if opcode is Opcode.CHAIN:
            code = aligned(code)
        if opcode is Opcode.STORE:
            code = encode(opcode, {**fields_of(code), "dram_address": HALF + int(rng.integers(HALF))})
        if rng.random() < 0.1:
            code = _shortest(code)
        try:
            alone = b"".join([*_table_before([code]), code])
            verify_code(alone, chip, DRAM_BYTES if opcode is Opcode.STORE else HALF)
        except VerifyError:
            continue
        if not is_legal(code, chip, DRAM_BYTES) or (opcode is Opcode.STORE and _lowest(code) < HALF):
            continue
        if simulate(code, chip).cycles <= MOST_CYCLES:
            return code


def _table_before(codes: list[bytes]) -> list[bytes]:
    """A TABLE, if there is a step LOOKUP, which takes one before it."""
    for code in codes:
        record = decode(code).record(0)
        if record["opcode"] == Opcode.CHAIN and Step.LOOKUP in record["step"][: int(record["steps"])]:
            return [encode(Opcode.TABLE, {"address": 64})]
    return []


def _shortest(code: bytes) -> bytes:
    """The instruction with one byte a run, one position or one element."""
    fields = fields_of(code)
    ones = {"run_bytes", "out_height", "out_width", "outer_2", "outer_1", "outer_0", "inner"} & fields.keys()
    return encode(Opcode(int(decode(code).opcode[0])), fields | dict.fromkeys(ones, 1))


def _stretched(rng: np.random.Generator, code: bytes) -> bytes:
    """The instruction with one to three of its strides, starts and limits at the ends of their range."""
    record = decode(code).record(0)
    fields = fields_of(code)
    names = [name for name in fields if any(part in name for part in LONG)]
    for _ in range(int(rng.integers(1, 4)) if names else 0):
        name = names[rng.integers(len(names))]
        limits = np.iinfo(np.asarray(record[name]).dtype)
        ends = (limits.min, limits.max, limits.min + 1, limits.max - 1)
        value = int(rng.choice([*ends, int(rng.integers(limits.min, limits.max))]))
        if isinstance(fields[name], list):
            fields[name][rng.integers(len(fields[name]))] = value
        else:
            fields[name] = value
    return encode(Opcode(int(record["opcode"])), fields)


def _lowest(code: bytes) -> int:
    """The lowest DRAM address of a STORE."""
    record = decode(code).record(0)
    low = int(record["dram_address"])
    for level in (1, 2, 3):
        low += min(0, (int(record[f"count_{level}"]) - 1) * int(record[f"dram_stride_{level}"]))
    return low


def _synchronised(rng: np.random.Generator, chip: Chip, codes: list[bytes]) -> bytes:
    """Put semaphores between instructions of different units that share a bank, and some more by chance.

    The n-th wait of a unit for another one is for the n-th post: an instruction that must wait for a later
    one of that unit than any before it did gets a post from it.
    """
    joined = decode(b"".join(codes))
    banks = banks_touched(joined, chip, DRAM_BYTES)
    sums = np.array([_touches_sums(joined.record(index)) for index in range(len(codes))])
    touched = np.concatenate([banks, sums[:, None]], axis=1)
    units = [UNIT_OF[Opcode(int(opcode))] for opcode in joined.opcode]
    waits, posts = [0] * len(codes), [0] * len(codes)
    synchronised = {(source, target): -1 for source in Unit for target in Unit}
    for index, unit in enumerate(units):
        for other in Unit:
            earlier = [
                before
                for before in range(index)
                if units[before] == other
                and (rng.random() < 0.02 or (touched[before] & touched[index]).any())
            ]
            if other != unit and earlier and earlier[-1] > synchronised[other, unit]:
                synchronised[other, unit] = earlier[-1]
                posts[earlier[-1]] |= 1 << unit
                waits[index] |= 1 << other
    return b"".join(
        encode(Opcode(int(decode(code).opcode[0])), {**fields_of(code), "wait": wait, "post": post})
        for code, wait, post in zip(codes, waits, posts, strict=True)
    )


def _touches_sums(record: np.void) -> bool:
    """Whether an instruction uses accumulators."""
    opcode = Opcode(int(record["opcode"]))
    if opcode is Opcode.CHAIN:
        return bool(record["kind_0"] == Source.ACCUMULATOR)
    return UNIT_OF[opcode] is Unit.MATRIX
