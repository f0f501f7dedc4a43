"""The program that a delivered core must run: on any chip, and such that no instruction can fail unseen."""

from itertools import pairwise

import numpy as np
import pytest

from hanok.flows._acceptance import Acceptance, acceptance_program
from hanok.isa import Opcode, Unit, decode
from hanok.isa.encoding import encode
from hanok.machine import Chip, preset_names
from hanok.simulator import emulate

SMALLEST = Chip.from_dict(
    {
        "name": "smallest",
        "clock_mhz": 1,
        "core": {
            "matrix": {"rows": 4, "columns": 4, "preload_rows_per_cycle": 1, "accumulator_rows": 16},
            "vector": {"lanes": 4, "stages": 1},
            "sram": {"banks": 8, "bank_bytes": 512},
            "dma": {"bytes_per_cycle": 4, "outstanding": 1},
        },
        "memory": {"standard": "none", "channels": 1, "capacity_mib": 1},
    },
    "test",
)
UNPACKING = [
    Chip.from_dict(
        SMALLEST.model_dump()
        | {
            "name": f"unpacking-{columns}-{width}",
            "core": SMALLEST.core.model_dump()
            | {
                "matrix": SMALLEST.core.matrix.model_dump() | {"columns": columns},
                "sram": {"banks": 8, "bank_bytes": max(512, 4 * columns)},
                "dma": {"bytes_per_cycle": width, "outstanding": 1, "int4": True},
            },
        },
        "test",
    )
    for columns, width in ((4, 8), (4, 4), (24, 4), (512, 1024), (512, 16))
]
"""Chips whose beat of nibbles is several rows, a row and a part of one."""
CHIPS = [*(Chip.load(name) for name in preset_names()), SMALLEST, *UNPACKING]


def code_of(program: Acceptance) -> bytes:
    return program.memory[program.code_address : program.code_address + program.code_bytes]


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_any_chip_can_run_it(chip: Chip) -> None:
    program = acceptance_program(chip)
    for mode in ("fast", "stepwise"):
        memory = np.frombuffer(program.memory, np.uint8).copy()
        emulate(code_of(program), chip, memory, mode=mode, trap=True)
        assert memory.tobytes() == program.expected
    decoded = decode(code_of(program))
    missing = set() if chip.core.dma.expand_lanes else {int(Opcode.EXPAND)}
    missing |= set() if chip.core.dma.int4 else {int(Opcode.UNPACK)}
    assert set(decoded.opcode.tolist()) == {int(opcode) for opcode in Opcode} - missing
    assert set(decoded.unit.tolist()) == set(Unit)
    assert program == acceptance_program(chip)


@pytest.mark.parametrize(
    "chip",
    [*(Chip.load(name) for name in ("nano", "u55-64")), SMALLEST, UNPACKING[0]],
    ids=lambda chip: chip.name,
)
def test_each_instruction_matters(chip: Chip) -> None:
    """Without semaphores, in program order: leaving out any one instruction leaves another memory."""
    program = acceptance_program(chip)
    decoded = decode(code_of(program))
    free = []
    for index in range(len(decoded)):
        record = decoded.record(index)
        names = [name for name in record.dtype.names or () if name not in ("opcode", "wait", "post")]
        free.append(encode(Opcode(int(record["opcode"])), {name: record[name].tolist() for name in names}))

    def result(left_out: int) -> bytes:
        memory = np.frombuffer(program.memory, np.uint8).copy()
        emulate(b"".join(code for index, code in enumerate(free) if index != left_out), chip, memory)
        return memory.tobytes()

    assert result(-1) == program.expected
    assert all(result(index) != program.expected for index in range(len(free)))


def test_results_are_many_and_differ_from_what_was_there() -> None:
    program = acceptance_program(Chip.load("nano"))
    before, after = (np.frombuffer(part, np.uint8) for part in (program.memory, program.expected))
    changed = np.flatnonzero(before != after)
    assert len(changed) > 150
    assert len(np.unique(after[changed])) > 60
    partial = [place for place, following in pairwise(changed) if following - place > 1]
    assert len(partial) >= 5, "rows lie apart, so that bursts are written in part"


def test_the_refused_code_is_legal_up_to_its_end() -> None:
    program = acceptance_program(Chip.load("nano"))
    code = program.memory[program.illegal_address : program.illegal_address + program.illegal_bytes]
    assert decode(code[: program.illegal_offset]).opcode.tolist() == [Opcode.FILL]
    assert code[program.illegal_offset] not in {int(opcode) for opcode in Opcode}
