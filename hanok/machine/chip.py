"""The chip description: frozen records of cores and memory, their checks, and loading from TOML."""

from __future__ import annotations

import tomllib
from importlib import resources
from math import ceil, log2
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from hanok.errors import ChipError
from hanok.machine._record import Record, power_of_two
from hanok.machine.policy import Policy
from hanok.machine.vector_pipeline import VectorPipeline

MAX_CHIP_FILE_BYTES = 1 << 16
MAX_TOML_DEPTH = 32


class Matrix(Record):
    """The weight-stationary dot-product array: `rows` int8 products are summed in each of `columns`."""

    rows: Annotated[int, Field(ge=4, le=512, description="int8 inputs of each dot product (K)")]
    columns: Annotated[int, Field(ge=4, le=512, description="dot products side by side (N)")]
    preload_rows_per_cycle: Annotated[
        int, Field(ge=1, le=64, description="weight rows that enter the shadow registers in a cycle")
    ] = 1
    extra_stages: Annotated[
        int, Field(ge=0, le=8, description="optional pipeline registers beyond multiply and adder tree")
    ] = 0
    accumulator_rows: Annotated[
        int, Field(ge=16, le=65536, description="rows of int32 accumulators in each accumulator bank")
    ]
    accumulator_banks: Annotated[int, Field(ge=2, le=8, description="accumulator banks")] = 2

    @property
    def macs(self) -> int:
        """Multiply-accumulates in a cycle."""
        return self.rows * self.columns

    @property
    def depth_cycles(self) -> int:
        """Pipeline depth L: three registers of the scratchpad, operand register, product register,
        ceil(log2 rows) adder levels, options."""
        return 5 + ceil(log2(self.rows)) + self.extra_stages


class Vector(Record):
    """The float32 unit: `lanes` elements a cycle, each through up to `stages` steps of a chain."""

    lanes: Annotated[int, Field(ge=2, le=1024, description="elements in a cycle; a power of two")]
    stages: Annotated[int, Field(ge=1, le=8, description="chain steps that each lane makes in a cycle")]
    pipeline: VectorPipeline = VectorPipeline()

    _lanes = field_validator("lanes")(power_of_two)

    @model_validator(mode="after")
    def _pipeline_fits(self) -> Vector:
        pipeline = self.pipeline
        depth = pipeline.depth(self.stages)
        if pipeline.dividers > depth:
            raise ValueError(
                f"pipeline.dividers is {pipeline.dividers}; allowed: at most {depth}, the places of the ring"
            )
        if pipeline.table_words > self.lanes:
            raise ValueError(
                f"pipeline.table_words is {pipeline.table_words}; allowed: at most {self.lanes}, the lanes"
            )
        return self


class Sram(Record):
    """The scratchpad: banks with one read and one write port, one owner unit at a time."""

    banks: Annotated[int, Field(ge=8, le=512, description="banks")]
    bank_bytes: Annotated[int, Field(ge=512, le=1 << 22, description="bytes in a bank; a multiple of 64")]

    @property
    def total_bytes(self) -> int:
        """Capacity of all banks."""
        return self.banks * self.bank_bytes

    @field_validator("bank_bytes")
    @classmethod
    def _whole_words(cls, value: int) -> int:
        if value % 64:
            raise ValueError(f"{value} is not a multiple of 64")
        return value


EXPAND_STAGES = 5
"""Streams that take turns in a lane of the decoder, since the next code begins where the one before ends."""


class Dma(Record):
    """The load and the store engine, each with its own port to the network."""

    bytes_per_cycle: Annotated[int, Field(ge=4, le=4096, description="SRAM-side width of each engine")]
    outstanding: Annotated[int, Field(ge=1, le=4096, description="DRAM bursts in flight for each engine")]
    expand_lanes: Annotated[
        int,
        Field(ge=0, le=64, description="symbols a cycle of the decoder of packed weights; 0: there is none"),
    ] = 0
    int4: Annotated[
        bool, Field(description="whether the load engine unpacks weights of four bits, two to a byte")
    ] = False

    _lanes = field_validator("expand_lanes")(power_of_two)

    @property
    def expand_streams(self) -> int:
        """Streams of bits in packed weights: byte i belongs to stream i modulo their number."""
        return EXPAND_STAGES * self.expand_lanes


class Control(Record):
    """Fetch, dispatch and synchronisation."""

    queue_depth: Annotated[int, Field(ge=1, le=1024, description="instructions waiting at each unit")] = 32
    semaphore_limit: Annotated[int, Field(ge=1, le=65535, description="largest count of a semaphore")] = 255
    fetch_buffer_bytes: Annotated[
        int, Field(ge=512, le=1 << 20, description="instruction bytes fetched ahead of dispatch")
    ] = 8192


class Core(Record):
    """Four in-order units around one scratchpad."""

    matrix: Matrix
    vector: Vector
    sram: Sram
    dma: Dma
    control: Control = Control()


class Memory(Record):
    """DRAM behind the chip: a standard's name from `hanok.dram`, channels, capacity, mapping and ECC."""

    standard: Annotated[str, Field(min_length=1, max_length=64)]
    channels: Annotated[int, Field(ge=1, le=256)]
    capacity_mib: Annotated[int, Field(ge=1, le=1 << 22)]
    latency_cycles: Annotated[
        int, Field(ge=0, le=10_000, description="core cycles of network and controller on each read")
    ] = 20
    mapping: Annotated[
        str, Field(max_length=200, description="which address bits choose what; empty: the standard's own")
    ] = ""
    ecc: Annotated[
        Literal["none", "on_die", "side_band", "both"],
        Field(description="which codes guard a burst: the dies', the host's on pins of their own, or both"),
    ] = "none"
    controller: Policy = Policy()

    _channels = field_validator("channels")(power_of_two)


class Technology(Record):
    """What the energy and area tables are scaled to."""

    node_nm: Annotated[float, Field(gt=0.5, le=180)] = 7.0
    voltage: Annotated[float, Field(gt=0.2, le=3.3)] = 0.75


def _check_int4(columns: int, width: int) -> None:
    """Raise ValueError where the weights of a beat are neither whole rows of the array nor a part of one."""
    unpacked = 2 * width
    if width & (width - 1) or max(columns, unpacked) % min(columns, unpacked) or 2 * columns < width:
        raise ValueError(
            f"core.dma.int4: a beat of {width} bytes holds {unpacked} weights, and the array has {columns} "
            "columns; allowed: core.dma.bytes_per_cycle a power of two, at most twice the columns, and the "
            "columns a multiple of a beat's weights or the other way round"
        )


class Chip(Record):
    """A whole chip: one core now, its clock, its memory and where each figure comes from."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    description: Annotated[str, Field(max_length=500)] = ""
    clock_mhz: Annotated[int, Field(ge=1, le=10_000)]
    cores: Annotated[int, Field(ge=1, le=1)] = 1
    core: Core
    memory: Memory
    technology: Technology = Technology()
    sources: dict[str, str] = Field(default_factory=dict)
    """Dotted field name -> public source of its figure, or 'choice: why'."""

    @model_validator(mode="after")
    def _fits_together(self) -> Chip:
        matrix, sram = self.core.matrix, self.core.sram
        tile = matrix.rows * matrix.columns
        if sram.total_bytes < 4 * tile:
            raise ValueError(
                f"core.sram: {sram.total_bytes} bytes cannot hold two weight tiles of {tile} bytes and their "
                f"operands; allowed: at least {4 * tile} bytes"
            )
        if sram.total_bytes > 1 << 31:
            raise ValueError(f"core.sram: {sram.total_bytes} bytes; allowed: at most {1 << 31}")
        if self.core.dma.int4:
            _check_int4(matrix.columns, self.core.dma.bytes_per_cycle)
        if self.core.control.queue_depth >= self.core.control.semaphore_limit:
            raise ValueError(
                "core.control.semaphore_limit must be larger than queue_depth, or a unit could stall on a "
                "full counter"
            )
        return self

    @property
    def peak_tops(self) -> float:
        """Dense int8 tera-operations a second, a multiply-accumulate counted as two."""
        return 2 * self.core.matrix.macs * self.clock_mhz * self.cores / 1e6

    @classmethod
    def from_dict(cls, content: dict[str, Any], origin: str) -> Chip:
        """Check `content` (a parsed TOML document); raise ChipError that names field and allowed values."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "chip"
            found = first.get("input")
            shown = "" if isinstance(found, (dict, BaseModel)) else f" (found {str(found)[:80]!r})"
            more = f"; {error.error_count() - 1} more problems" if error.error_count() > 1 else ""
            raise ChipError(f"{origin}: {field}: {first['msg']}{shown}{more}") from None

    @classmethod
    def load(cls, name_or_path: str | Path) -> Chip:
        """Load a preset by name, or a TOML file by path."""
        text = chip_toml(name_or_path)
        _check_depth(text, str(name_or_path))
        try:
            content = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ChipError(f"{name_or_path}: not a TOML file: {error}") from None
        return cls.from_dict(content, str(name_or_path))


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that ship with hanok."""
    folder = resources.files("hanok.machine") / "presets"
    return tuple(
        sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
    )


def chip_toml(name_or_path: str | Path) -> str:
    """Return the TOML text of a preset or of a file; refuse missing, huge and non-UTF-8 ones."""
    name = str(name_or_path)
    if name in preset_names():
        return (resources.files("hanok.machine") / "presets" / f"{name}.toml").read_text("utf-8")
    path = Path(name)
    try:
        found = path.is_file()
    except OSError:
        found = False
    if not found:
        raise ChipError(
            f"'{name[:200]}' is neither a chip file nor a preset; presets: {', '.join(preset_names())}"
        )
    if path.stat().st_size > MAX_CHIP_FILE_BYTES:
        raise ChipError(f"{name}: {path.stat().st_size} bytes; a chip file has at most {MAX_CHIP_FILE_BYTES}")
    try:
        return path.read_text("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ChipError(f"{name}: cannot be read as UTF-8 text: {error}") from None


def _check_depth(text: str, origin: str) -> None:
    """Refuse brackets nested, or dotted keys chained, deeper than any chip file needs."""
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_TOML_DEPTH:
            raise ChipError(f"{origin}: brackets nested deeper than {MAX_TOML_DEPTH}")
    if any(line.count(".") > 10 * MAX_TOML_DEPTH for line in text.splitlines()):
        raise ChipError(f"{origin}: a line with more than {10 * MAX_TOML_DEPTH} dots")
