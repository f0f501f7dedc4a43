"""The result records of a run: what the terminal, the HTML report, the trace and the JSON render."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds that hanok itself took, by phase."""

    compile: float = 0.0
    emulate: float = 0.0
    time: float = 0.0
    host: float = 0.0
    check: float = 0.0


@dataclass(frozen=True)
class UnitCycles:
    """Where each cycle of one unit went; the causes add up to the cycles of the run."""

    unit: str
    causes: tuple[tuple[str, int], ...]
    """(cause, cycles); the first cause is 'busy'."""

    @property
    def busy(self) -> int:
        """Cycles in which the unit worked."""
        return dict(self.causes).get("busy", 0)


@dataclass(frozen=True)
class LayerResult:
    """What one layer cost on the NPU."""

    name: str
    onnx_type: str
    onnx_nodes: tuple[str, ...]
    mapping: str
    macs: int
    output_shape: tuple[int, ...]
    instructions: int
    start_cycle: int
    end_cycle: int
    cycles: int
    """The layer's share of the run: cycles by which it moved the end of the run; the shares add up."""
    busy_cycles: tuple[tuple[str, int], ...]
    """(unit, cycles in which the unit worked for this layer)."""
    utilisation: float
    """macs over what the array could have done in the layer's share (or its matrix time, if longer)."""
    dram_read_bytes: int
    dram_write_bytes: int
    compulsory_bytes: int
    bound_by: str

    @property
    def dram_bytes(self) -> int:
        """Bytes moved both ways."""
        return self.dram_read_bytes + self.dram_write_bytes


@dataclass(frozen=True)
class HostOperator:
    """An ONNX operator that ran on the host; `milliseconds` is measured for its whole stage."""

    name: str
    onnx_type: str
    stage: int
    reason: str
    milliseconds: float


@dataclass(frozen=True)
class OutputCheck:
    """One output against ONNX Runtime: in steps of its scale, or as floats where it has none."""

    name: str
    elements: int
    mismatched: int
    step: float | None
    max_error_steps: int | None
    max_absolute_error: float
    max_relative_error: float
    signal_to_noise_db: float | None = None
    """Of float outputs that differ."""


@dataclass(frozen=True)
class BitErrors:
    """Wrong bits in the DRAM's constants and inputs, what ECC made of them, and what they did."""

    rate: float
    """Of wrong cells."""
    seed: int
    ecc: str
    standard: str
    bursts: int
    """That hold constants and inputs."""
    wrong_cells: int
    hit: int
    """Bursts with a wrong bit; each is one of the three below."""
    corrected: int
    detected: int
    """Reported to the host as uncorrectable; used as they were read."""
    silent: int
    wrong_bits: int
    """That were read."""
    words: tuple[str, ...]
    """What each code did with its words, a line each."""
    outputs: tuple[OutputCheck, ...]
    """Against the run without errors."""

    @property
    def mismatched(self) -> int:
        """Values of the outputs that differ from those of the run without errors."""
        return sum(output.mismatched for output in self.outputs)

    @property
    def compared(self) -> int:
        """Values of the outputs."""
        return sum(output.elements for output in self.outputs)


@dataclass(frozen=True)
class Contribution:
    """A named part of the energy or of the area: the estimate, and what its sources leave open."""

    name: str
    amount: float
    low: float
    high: float


@dataclass(frozen=True)
class ChipFigure:
    """One figure of the chip and its source."""

    field: str
    value: str
    source: str


@dataclass(frozen=True)
class MemoryRegion:
    """A range of DRAM as the program lays it out."""

    name: str
    kind: str
    address: int
    size_bytes: int


@dataclass(frozen=True)
class ChipSummary:
    """What the reports say about the chip."""

    name: str
    description: str
    clock_mhz: int
    macs_per_cycle: int
    peak_tops: float
    sram_bytes: int
    dram_standard: str
    dram_bytes_per_second: float
    figures: tuple[ChipFigure, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """When every instruction ran, in dispatch order; NPU stages follow one another without a gap."""

    start: IntArray
    end: IntArray
    unit: npt.NDArray[np.int8]
    opcode: npt.NDArray[np.uint8]
    layer: npt.NDArray[np.int32]
    dram_read_bytes: IntArray
    dram_write_bytes: IntArray
    unit_names: tuple[str, ...]
    opcode_names: tuple[tuple[int, str], ...]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Bandwidth:
    """DRAM bytes moved in each of equal slices of the run."""

    slice_cycles: int
    read_bytes: IntArray
    write_bytes: IntArray


@dataclass(frozen=True)
class SramMap:
    """Which unit used each SRAM bank in each slice of the run: 0 nobody, else 1 + unit number."""

    bank_bytes: int
    slice_cycles: int
    owner: npt.NDArray[np.uint8]
    """[slices, banks]."""


@dataclass(frozen=True)
class RunRecord:
    """One run of one model on one chip: every figure that a report shows."""

    hanok_version: str
    model: str
    chip: ChipSummary
    cycles: int
    latency_ms: float
    energy_mj: float
    energy_low_mj: float
    energy_high_mj: float
    """What the tables behind the estimate leave open."""
    macs: int
    utilisation: float
    dram_read_bytes: int
    dram_write_bytes: int
    compulsory_bytes: int
    instructions: int
    checked: bool
    outputs_compared: int
    outputs_mismatched: int
    max_error_steps: int | None
    signal_to_noise_db: float | None
    """The worst of the float outputs that differ."""
    outputs: tuple[OutputCheck, ...]
    host_operators: tuple[HostOperator, ...]
    host_ms: float
    seconds: Seconds
    layers: tuple[LayerResult, ...]
    units: tuple[UnitCycles, ...]
    energy: tuple[Contribution, ...]
    area: tuple[Contribution, ...]
    """In mm2."""
    regions: tuple[MemoryRegion, ...]
    bound_by: str
    verdict: str
    """One sentence: what bounds the model and what would help."""
    warnings: tuple[str, ...] = ()
    quantisation: tuple[tuple[str, str], ...] = field(default=())
    bit_errors: BitErrors | None = None
    """Where there were any, `outputs` compares the values that they led to."""


@dataclass(frozen=True)
class RunTraces:
    """What the drawings need beyond the record: the timeline and its summaries over time."""

    timeline: Timeline
    bandwidth: Bandwidth
    sram: SramMap | None = None
