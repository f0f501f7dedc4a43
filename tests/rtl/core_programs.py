"""Seeded random legal programs for the whole core: random instructions, semaphores where order matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from emulator_streams import fields_of, random_instruction, random_memory

from hanok.compiler.verify import banks_touched, verify_code
from hanok.errors import VerifyError
from hanok.isa import Opcode, Source, Unit, decode, encode
from hanok.isa.table import UNIT_OF
from hanok.machine import Chip

CODE_ADDRESS = 1 << 17
DRAM_BYTES = CODE_ADDRESS
"""Loads read below the half of it, stores write above, so that no two of them meet."""
HALF = DRAM_BYTES // 2


def random_instructions(rng: np.random.Generator, chip: Chip, count: int) -> list[bytes]:
    """Legal instructions to make programs of: most draws are not legal, so programs share them."""
    return [_instruction(rng, chip) for _ in range(count)]


def random_program(rng: np.random.Generator, chip: Chip, pool: list[bytes], count: int) -> bytes:
    """A program that fills the scratchpad, makes `count` instructions of a pool, and stores it."""
    while True:
        sram = chip.core.sram.total_bytes
        whole = {"run_bytes": sram, "count_1": 1, "count_2": 1, "count_3": 1}
        first = encode(Opcode.LOAD, {**whole, "dram_address": int(rng.integers(64)) * 4})
        last = encode(Opcode.STORE, {**whole, "dram_address": HALF + 64})
        codes = [first, *(pool[at] for at in rng.integers(0, len(pool), count)), last]
        try:
            program = _synchronised(rng, chip, codes)
            verify_code(program, chip, DRAM_BYTES)
        except VerifyError:
            continue
        return program


def memory_image(rng: np.random.Generator, code: bytes) -> npt.NDArray[np.uint8]:
    """DRAM with random content and the code."""
    image = np.zeros(CODE_ADDRESS + len(code) + 256, np.uint8)
    content = random_memory(rng)
    image[: len(content)] = content
    image[CODE_ADDRESS : CODE_ADDRESS + len(code)] = np.frombuffer(code, np.uint8)
    return image


def _instruction(rng: np.random.Generator, chip: Chip) -> bytes:
    while True:
        code = random_instruction(rng, chip)
        opcode = Opcode(int(decode(code).opcode[0]))
        if opcode is Opcode.STORE:
            code = encode(opcode, {**fields_of(code), "dram_address": HALF + int(rng.integers(HALF))})
        try:
            verify_code(code, chip, DRAM_BYTES if opcode is Opcode.STORE else HALF)
        except VerifyError:
            continue
        if opcode is not Opcode.STORE or _lowest(code) >= HALF:
            return code


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
