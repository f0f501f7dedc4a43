"""Each kind of instruction alone, and each before each other one, in gates and in the models."""

from __future__ import annotations

import numpy as np
import pytest
from core_bench import assert_equal, small_chip
from core_programs import framed_program, memory_image, random_instructions

from hanok.errors import VerifyError
from hanok.isa import Opcode, decode

KINDS = ("load", "fill", "store", "conv", "depthwise", "chain", "reduction", "table")
OF_A_KIND = 5


def kind_of(code: bytes) -> str:
    record = decode(code).record(0)
    opcode = Opcode(int(record["opcode"]))
    return "reduction" if opcode is Opcode.CHAIN and record["reduction"] else opcode.name.lower()


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[bytes]]:
    """Instructions of each kind."""
    rng, found = np.random.default_rng(3), dict[str, list[bytes]]()
    while any(len(found.get(kind, [])) < OF_A_KIND for kind in KINDS):
        for code in random_instructions(rng, small_chip(), 20):
            found.setdefault(kind_of(code), []).append(code)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_alone(kind: str, kinds: dict[str, list[bytes]]) -> None:
    """Without anything before or behind it: the scratchpad is as reset leaves it."""
    rng = np.random.default_rng(4)
    for number, code in enumerate(kinds[kind][:OF_A_KIND]):
        assert_equal(small_chip(), code, memory_image(rng, code), f"{kind} {number}")


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_in_pairs(first: str, second: str, kinds: dict[str, list[bytes]]) -> None:
    rng, done = np.random.default_rng((KINDS.index(first), KINDS.index(second))), 0
    while done < 4:
        codes = [kinds[kind][rng.integers(len(kinds[kind]))] for kind in (first, second)]
        try:
            code = framed_program(rng, small_chip(), codes)
        except VerifyError:
            continue
        assert_equal(small_chip(), code, memory_image(rng, code), f"{first}, {second} {done}")
        done += 1
