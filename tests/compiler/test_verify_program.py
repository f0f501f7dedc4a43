"""A whole program: stages, regions and constants within its DRAM, and code that the compiler never made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from verify_programs import DRAM_BYTES, dma, layer_program, small_chip

from hanok.compiler.verify import verify_program
from hanok.errors import VerifyError
from hanok.isa import NpuStage, Opcode, Program, Region, RegionKind

CONSTANTS_AT, CODE_AT = 49152, 57344


def program(*lines: bytes) -> Program:
    """One stage of `lines`, with constants, between activations and code."""
    code = b"".join(lines)
    return Program(
        name="small",
        chip=small_chip(),
        stages=(NpuStage(code, CODE_AT, np.zeros(len(lines), np.int32)),),
        constants=bytes(4096),
        constants_address=CONSTANTS_AT,
        dram_bytes=DRAM_BYTES,
        regions=(Region("image", RegionKind.ACTIVATION, 0, 4096),),
        bindings=(),
        layers=(),
        inputs=(),
        outputs=(),
    )


def test_a_layer_is_legal():
    verify_program(program(*layer_program(6)))


def test_constants_and_code_are_read_only_even_without_a_region():
    verify_program(program(dma(Opcode.STORE, dram=CONSTANTS_AT - 64)))
    with pytest.raises(VerifyError, match=r"constant: region 'constants', 4096 bytes at 49152"):
        verify_program(program(dma(Opcode.STORE, dram=CONSTANTS_AT - 63)))
    with pytest.raises(VerifyError, match=r"constant: region 'code of stage 0', \d+ bytes at 57344"):
        verify_program(program(dma(Opcode.STORE, dram=CODE_AT)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constants_address": -1}, r"constants: bytes -1 \.\. 4095 are outside 65536 bytes of DRAM"),
        ({"constants_address": DRAM_BYTES - 4095}, r"constants: bytes 61441 \.\. 65537 are outside"),
        ({"dram_bytes": CODE_AT}, r"code of stage 0: bytes 57344 \.\. "),
        ({"dram_bytes": (1 << 20) + 1}, r"the program needs 1048577 bytes of DRAM; chip 'small' has 1048576"),
        (
            {"regions": (Region("far", RegionKind.ACTIVATION, DRAM_BYTES, 1),)},
            r"region 'far': bytes 65536 \.\. 65537 are outside the program's DRAM of 65536 bytes",
        ),
    ],
)
def test_what_lies_outside_the_dram(change, message):
    with pytest.raises(VerifyError, match=message):
        verify_program(dataclasses.replace(program(dma()), **change))


def test_every_stage_is_verified():
    good = program(dma())
    bad = NpuStage(dma(sram=1 << 20), CODE_AT + 64, np.zeros(1, np.int32))
    with pytest.raises(VerifyError, match=r"sram-bounds"):
        verify_program(dataclasses.replace(good, stages=(*good.stages, bad)))
