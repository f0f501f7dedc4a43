"""Bit errors in the DRAM that a program reads: what ECC made of them, and what they did to the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.dram import get_standard
from hanok.dram.faults import FaultReport, Faults, read_through
from hanok.dram.standard import FlatMemory, Standard
from hanok.errors import ChipError, HanokError
from hanok.flows._check import check_outputs
from hanok.flows._execution import Execution, Progress, quiet
from hanok.flows.results import BitErrors
from hanok.isa import Program
from hanok.units import align_up, ceil_div

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


def check_rate_of(program: Program, rate: float) -> Standard:
    """Return the standard whose cells go wrong; raise ChipError for a rate or a memory that cannot be."""
    if not 0 <= rate <= 1:
        raise ChipError(f"--bit-errors: {rate}; allowed: 0..1, the share of wrong cells")
    standard = get_standard(program.chip.memory.standard)
    if isinstance(standard, FlatMemory):
        raise ChipError(
            f"--bit-errors: {standard.name} of chip '{program.chip.name}' has no cells; give another --dram"
        )
    return standard


def run_damaged(
    program: Program,
    inputs: dict[str, Array],
    clean: Mapping[str, Array],
    rate: float,
    seed: int,
    progress: Progress = quiet,
) -> tuple[dict[str, Array], BitErrors]:
    """Run a program whose constants and inputs have wrong bits in DRAM; return its outputs, and what ECC did.

    Each cell that holds them, or their check bits, is wrong with probability `rate` before the run starts,
    and is read through the ECC of `memory.ecc`. Instructions, and what the run itself writes, stay right.
    `clean` are the outputs without errors. Raises ChipError as `check_rate_of` does, and HanokError where
    damaged packed weights cannot be unpacked.
    """
    standard = check_rate_of(program, rate)
    execution = Execution(program, inputs, progress)
    report = damage(execution.image, program, standard, rate, seed)
    try:
        execution.run(count_cycles=False)
    except HanokError as error:
        raise HanokError(
            f"--bit-errors {rate:g}: the run stops at wrong bits in packed weights ({error}); take a lower "
            "rate, another --seed, or ECC"
        ) from None
    outputs = execution.outputs()
    errors = BitErrors(
        rate=rate,
        seed=seed,
        ecc=program.chip.memory.ecc,
        standard=report.standard,
        bursts=report.bursts,
        wrong_cells=report.cell_flips,
        hit=report.hit,
        corrected=report.corrected,
        detected=report.detected,
        silent=report.silent,
        wrong_bits=report.wrong_bits,
        words=tuple(report.lines()[2:]),
        outputs=check_outputs(program, outputs, clean),
    )
    return outputs, errors


def damage(image: Bytes, program: Program, standard: Standard, rate: float, seed: int) -> FaultReport:
    """Put wrong bits into the bursts of `image` that hold constants and inputs, and read them through ECC.

    The bursts are taken out of their places, one behind the other: cells go wrong each on its own, and the
    words of a chip's ECC lie within bursts.
    """
    burst = standard.burst_bytes
    numbers = _bursts_read(program, burst)
    padded = np.zeros(align_up(len(image), burst), np.uint8)
    padded[: len(image)] = image
    rows = padded.reshape(-1, burst)
    read, report = read_through(
        rows[numbers].reshape(-1),
        standard,
        program.chip.memory.ecc,
        Faults(rate=rate, seed=seed),
        channels=program.chip.memory.channels,
        mapping=program.chip.memory.mapping,
    )
    rows[numbers] = read.reshape(-1, burst)
    image[:] = padded[: len(image)]
    return report


def _bursts_read(program: Program, burst_bytes: int) -> npt.NDArray[np.int64]:
    """Return which bursts of the program's DRAM hold constants or inputs, ascending."""
    inputs = {info.name for info in program.inputs}
    ranges = [(program.constants_address, len(program.constants))]
    ranges += [
        (binding.address, int(np.prod(binding.shape, dtype=np.int64)))
        for binding in program.bindings
        if binding.name in inputs
    ]
    parts = [
        np.arange(address // burst_bytes, ceil_div(address + size, burst_bytes))
        for address, size in ranges
        if size
    ]
    if not parts:
        raise ChipError("--bit-errors: the program has no constants and no inputs in DRAM")
    return np.unique(np.concatenate(parts)).astype(np.int64)
