"""UNPACK: values against a plain loop over bytes, refusals and their causes, cycles against those of LOAD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulator_streams import DRAM_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compiler.verify import verify_code
from hanok.errors import VerifyError
from hanok.isa import Opcode, Unit, encode
from hanok.isa.faults import Fault
from hanok.isa.timing import UNPACK_STAGES
from hanok.machine import Chip
from hanok.simulator import Machine, emulate
from hanok.simulator.engine import simulate

SHAPES = ((8, 8), (8, 4), (8, 16), (24, 4), (4, 8), (128, 64), (128, 128))
"""Columns of the array and bytes of a beat: nibbles of several rows, of one, and of a part of one."""


def chip_of(columns: int, width: int, int4: bool = True) -> Chip:
    return Chip.from_dict(
        {
            "name": "small",
            "clock_mhz": 1000,
            "core": {
                "matrix": {"rows": 8, "columns": columns, "accumulator_rows": 64},
                "vector": {"lanes": 8, "stages": 2},
                "sram": {"banks": 16, "bank_bytes": 1024},
                "dma": {"bytes_per_cycle": width, "outstanding": 8, "int4": int4},
            },
            "memory": {"standard": "FLAT:1000:20", "channels": 1, "capacity_mib": 1, "latency_cycles": 3},
        },
        "test",
    )


CHIP = chip_of(8, 8)


def fields_of(chip: Chip, groups: int = 3, multiple: int = 1, **changes: int) -> dict[str, Any]:
    """A stream of groups of `multiple` times the fewest rows, in the second beat of DRAM."""
    columns, width = chip.core.matrix.columns, chip.core.dma.bytes_per_cycle
    rows = multiple * max(1, 2 * width // columns)
    return {
        "run_bytes": groups * rows * columns,
        "packed_bytes": groups * (2 * columns + rows * columns // 2),
        "group_rows": rows,
        "dram_address": width,
        "count_1": 1,
        "count_2": 1,
        "count_3": 1,
    } | changes


def plain_weights(stream: bytes, columns: int, group_rows: int) -> list[int]:
    """By the words of docs/isa.md, a byte at a time."""
    found: list[int] = []
    while stream:
        entries = [stream[2 * column] | stream[2 * column + 1] << 8 for column in range(columns)]
        stream = stream[2 * columns :]
        for place in range(group_rows * columns):
            nibble = stream[place // 2] >> 4 * (place % 2) & 15
            entry = entries[place % columns]
            value = (nibble - entry % 16) * (entry // 16) + 64 >> 7
            found.append(max(-128, min(127, value)))
        stream = stream[group_rows * columns // 2 :]
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=10, deadline=None)
@given(
    groups=st.integers(1, 4), multiple=st.integers(1, 3), start=st.integers(0, 64), seed=st.integers(0, 99)
)
def test_weights_are_those_of_a_plain_loop(
    shape: tuple[int, int], groups: int, multiple: int, start: int, seed: int
) -> None:
    chip = chip_of(*shape)
    memory = np.random.default_rng(seed).integers(0, 256, DRAM_BYTES, np.uint8)
    fields = fields_of(chip, groups, multiple, sram_address=start)
    begin = fields["dram_address"]
    stream = memory[begin : begin + fields["packed_bytes"]].tobytes()
    expected = np.zeros(chip.core.sram.total_bytes, np.int8)
    expected[start : start + fields["run_bytes"]] = plain_weights(stream, shape[0], fields["group_rows"])
    code = encode(Opcode.UNPACK, fields)
    verify_code(code, chip, DRAM_BYTES)
    for mode in ("fast", "stepwise"):
        machine = Machine(chip, memory.copy())
        machine.run(code, mode=mode)
        np.testing.assert_array_equal(machine.memories.sram.view(np.int8), expected)
        np.testing.assert_array_equal(machine.memories.dram, memory)


REFUSED: list[tuple[dict[str, int], str, Fault]] = [
    ({"count_2": 2}, "the largest count is 2; allowed: 1", Fault.NO_SUCH_VALUE),
    ({"group_rows": 0}, "group_rows is 0; allowed: 1 or more, and rows of 8", Fault.NO_SUCH_VALUE),
    ({"group_rows": 1}, "group_rows is 1; allowed: .*a multiple of 16 weights", Fault.NO_SUCH_VALUE),
    ({"dram_address": 12}, "dram_address is 12; allowed: multiples of 8", Fault.NO_SUCH_VALUE),
    ({"packed_bytes": 76}, "packed_bytes is 76; allowed: multiples of 8, .*above 0", Fault.NO_SUCH_VALUE),
    ({"packed_bytes": 0}, "packed_bytes is 0; allowed: multiples of 8, .*above 0", Fault.NO_SUCH_VALUE),
    ({"packed_bytes": 80}, "packed_bytes is 80; allowed: that of whole groups", Fault.NO_SUCH_CODE),
    ({"run_bytes": 47}, "packed_bytes is 72; allowed: that of whole groups", Fault.NO_SUCH_CODE),
    ({"run_bytes": 64}, "packed_bytes is 72; allowed: that of whole groups", Fault.NO_SUCH_CODE),
    ({"run_bytes": 64, "packed_bytes": 88}, "packed_bytes is 88; allowed: that of", Fault.NO_SUCH_CODE),
    ({"group_rows": 4}, "packed_bytes is 72; allowed: that of whole groups", Fault.NO_SUCH_CODE),
]  # fmt: skip
"""Changes of a stream of three groups of two rows of 8: 72 bytes for 48."""


@pytest.mark.parametrize(("changes", "message", "cause"), REFUSED, ids=str)
def test_what_is_no_stream_is_refused(changes: dict[str, int], message: str, cause: Fault) -> None:
    code = encode(Opcode.UNPACK, fields_of(CHIP, **changes))
    memory = np.zeros(DRAM_BYTES, np.uint8)
    for run in (lambda: emulate(code, CHIP, memory), lambda: simulate(code, CHIP)):
        with pytest.raises(VerifyError, match=rf"instruction 0 \(UNPACK.*{message}") as caught:
            run()
        assert caught.value.cause == cause
    with pytest.raises(VerifyError, match="unpack: allowed: "):
        verify_code(code, CHIP, DRAM_BYTES)


def test_a_chip_without_an_unpacker_has_no_such_instruction() -> None:
    chip = chip_of(8, 8, int4=False)
    code = encode(Opcode.UNPACK, fields_of(chip))
    for run in (lambda: emulate(code, chip, np.zeros(DRAM_BYTES, np.uint8)), lambda: simulate(code, chip)):
        with pytest.raises(VerifyError, match="int4 of the chip is 0; allowed: 1") as caught:
            run()
        assert caught.value.cause == Fault.ILLEGAL_OPCODE
    with pytest.raises(VerifyError, match=r"unpack: allowed: core\.dma\.int4 of the chip is true"):
        verify_code(code, chip, DRAM_BYTES)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"flags": 1}, Fault.NO_SUCH_FLAG),
        ({"run_bytes": 0}, Fault.ZERO_LENGTH),
        ({"count_1": 0}, Fault.ZERO_LENGTH),
        ({"sram_address": CHIP.core.sram.total_bytes - 47}, Fault.NO_SUCH_BYTE),
        ({"dram_address": CHIP.memory.capacity_mib << 20}, Fault.NO_SUCH_ADDRESS),
        ({"dram_address": DRAM_BYTES - 64}, Fault.BUS_ERROR),
    ],
    ids=str,
)
def test_faults_that_all_transfers_have(changes: dict[str, int], cause: Fault) -> None:
    code = encode(Opcode.UNPACK, fields_of(CHIP, **changes))
    with pytest.raises(VerifyError) as caught:
        emulate(code, CHIP, np.zeros(DRAM_BYTES, np.uint8))
    assert caught.value.cause == cause
    with pytest.raises(VerifyError):
        verify_code(code, CHIP, DRAM_BYTES)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("groups", [1, 9])
def test_it_takes_the_cycles_of_a_load_of_its_stream(shape: tuple[int, int], groups: int) -> None:
    chip = chip_of(*shape)
    fields = fields_of(chip, groups)
    load = {**fields, "run_bytes": fields["packed_bytes"]}
    stored = {**load, "run_bytes": 16, "wait": 1 << Unit.LOAD}
    found = []
    for opcode, values in ((Opcode.UNPACK, fields), (Opcode.LOAD, load)):
        first, second = ({**values, "post": post << Unit.STORE} for post in (0, 1))
        code = encode(opcode, first) + encode(opcode, second) + encode(Opcode.STORE, stored)
        found.append(simulate(code, chip))
    unpacked, loaded = found
    np.testing.assert_array_equal(unpacked.end - unpacked.start, loaded.end - loaded.start)
    assert unpacked.load_bytes == loaded.load_bytes
    assert unpacked.causes[Unit.LOAD, 0] == loaded.causes[Unit.LOAD, 0]


def test_an_unpacker_makes_every_write_later() -> None:
    """Of loads and fills too, so that writes stay in order."""
    once = {"run_bytes": 64, "count_1": 1, "count_2": 1, "count_3": 1}
    for opcode in (Opcode.LOAD, Opcode.FILL):
        with_unpacker, without = (
            simulate(encode(opcode, once), chip_of(8, 8, int4)) for int4 in (True, False)
        )
        assert with_unpacker.end[0] - without.end[0] == UNPACK_STAGES
        assert with_unpacker.start[0] == without.start[0]
