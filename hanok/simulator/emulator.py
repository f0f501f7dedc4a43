"""The emulator: executes the instructions of a stage on a DRAM image and computes every value."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from hanok.isa import Decoded, decode
from hanok.machine import Chip
from hanok.simulator.emulator_checks import DEFAULT_WORK_LIMIT, check_program
from hanok.simulator.emulator_fast import FastPath
from hanok.simulator.emulator_fields import extract_fields
from hanok.simulator.emulator_order import execution_order
from hanok.simulator.emulator_ownership import check_ownership
from hanok.simulator.emulator_state import Memories
from hanok.simulator.emulator_stepwise import execute

Mode = Literal["fast", "stepwise"]


class Machine:
    """A core that executes stages on one DRAM image; SRAM, accumulators and table live inside."""

    def __init__(self, chip: Chip, dram: npt.NDArray[np.uint8]) -> None:
        if (
            dram.dtype != np.uint8
            or dram.ndim != 1
            or not dram.flags.c_contiguous
            or not dram.flags.writeable
        ):
            raise ValueError("the DRAM image is a writable contiguous one-dimensional uint8 array")
        self.memories = Memories.cleared(chip, dram)

    def run(
        self,
        code: bytes | Decoded,
        *,
        mode: Mode = "fast",
        trap: bool = False,
        order: str = "program",
        work_limit: int = DEFAULT_WORK_LIMIT,
    ) -> None:
        """Execute every instruction of a stage.

        `mode`: "fast" and "stepwise" give the same bits. `order`: see `execution_order`. `trap`: also refuse
        banks that two units use without a semaphore between them. Raises ProgramError where the code cannot
        be decoded, VerifyError where an instruction is illegal, out of bounds, or never becomes ready.
        """
        decoded = code if isinstance(code, Decoded) else decode(code)
        chip = self.memories.chip
        fields = extract_fields(decoded)
        reach = check_program(decoded, fields, chip, len(self.memories.dram), work_limit)
        sequence = execution_order(decoded, chip.core.control, order)
        if trap:
            check_ownership(decoded, chip, sequence)
        if mode == "fast":
            FastPath(self.memories, decoded, fields, reach).run(sequence)
            return
        for index in sequence.tolist():
            execute(self.memories, decoded.record(index))


def emulate(
    code: bytes | Decoded,
    chip: Chip,
    dram: npt.NDArray[np.uint8],
    *,
    mode: Mode = "fast",
    trap: bool = False,
    order: str = "program",
    work_limit: int = DEFAULT_WORK_LIMIT,
) -> None:
    """Execute one NPU stage on `dram` in place; see `Machine.run`."""
    Machine(chip, dram).run(code, mode=mode, trap=trap, order=order, work_limit=work_limit)
