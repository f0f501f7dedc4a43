"""A bench for the vector unit: memories around it, records into it, and its time by the formula."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.errors import VerifyError
from hanok.isa import Destination, Opcode, Source, decode, encode
from hanok.isa.table import VECTOR, VECTOR_TABLE
from hanok.isa.timing import MEMORY_READ_CYCLES, Section, chain_cycles, table_cycles
from hanok.machine import Chip
from hanok.rtl._vector_delay import delayed
from hanok.rtl.records import record_layout
from hanok.rtl.simulate import Simulation
from hanok.rtl.vector import VectorUnit
from hanok.simulator.emulator_chains import overlapping_chains
from hanok.simulator.emulator_checks import check_program
from hanok.simulator.emulator_fields import extract_fields
from hanok.simulator.emulator_state import Memories

sys.path.insert(0, str(Path(__file__).parents[1] / "simulator"))
from emulator_streams import fields_of, random_chain

POISON = 0x7D
WORK_LIMIT = 1 << 13
"""Steps of a random chain, which keeps the bench quick."""
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-42, 3e38, 127.5, 1e9], np.float32
)


def bench_chip(lanes: int, stages: int, columns: int, pipeline: dict[str, int] | None = None) -> Chip:
    """A chip with small memories; columns need not be a power of two."""
    matrix = {"rows": 8, "columns": columns, "accumulator_rows": 32, "accumulator_banks": 2}
    return Chip.from_dict(
        {
            "name": "bench",
            "clock_mhz": 100,
            "core": {
                "matrix": matrix,
                "vector": {"lanes": lanes, "stages": stages, "pipeline": pipeline or {}},
                "sram": {"banks": 8, "bank_bytes": 1024},
                "dma": {"bytes_per_cycle": 8, "outstanding": 4},
            },
            "memory": {"standard": "none", "channels": 1, "capacity_mib": 1},
        },
        "bench",
    )


def chain(values: dict[str, Any]) -> bytes:
    """A CHAIN of float32 from byte 0 on, a row of elements, but for `values`."""
    counts = dict.fromkeys(("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0"), 1)
    kinds = {"kind_0": Source.FLOAT32, "kind_out": Destination.FLOAT32}
    limits = {"y_limit": 1, "x_limit": 1, "low_out": -128, "high_out": 127}
    place = {"row_pitch": 64, "y_stride": 1, "stride_inner": 4}
    fields = {**counts, **kinds, **limits, **place, "scale_0": 1.0, "scale_1": 1.0, "scale_2": 1.0, **values}
    for name in ("step", "operand", "immediate"):
        fields[name] = [*fields.get(name, []), *[0] * 8][:8]
    return encode(Opcode.CHAIN, fields)


def is_defined(code: bytes, chip: Chip) -> bool:
    """Whether a CHAIN is legal, and its result lies on no operand but in place."""
    decoded = decode(code)
    fields = extract_fields(decoded)
    try:
        reach = check_program(decoded, fields, chip, 1 << 16, WORK_LIMIT)
    except VerifyError:
        return False
    record = decoded.record(0)
    ring = int(record["ring_rows"])
    legal = record["y_limit"] >= 0 and record["x_limit"] >= 0
    legal = (
        legal and (not ring or record["ring_start"] < ring) and record["round_low"] <= record["round_high"]
    )
    return bool(legal) and not overlapping_chains(fields["vector"], reach)[0]


def aligned(code: bytes) -> bytes:
    """The CHAIN with elements of 4 bytes at multiples of 4, strides too."""
    fields = {name: value for name, value in fields_of(code).items() if name not in ("wait", "post")}
    of_operand_0 = ("address_0", "row_pitch", "pixel_pitch", "stride_2", "stride_inner")
    names = {"0": of_operand_0} | {name: (f"address_{name}", f"strides_{name}") for name in ("1", "2", "out")}
    for operand, places in names.items():
        if fields[f"kind_{operand}"] in (Source.INT32, Source.FLOAT32):
            for place in places:
                fields[place] = (np.array(fields[place]) // 4 * 4).tolist()
    return encode(Opcode.CHAIN, fields)


def random_legal_chain(rng: np.random.Generator, chip: Chip) -> bytes:
    """A random CHAIN as the emulator's tests draw them, within what the verifier asks."""
    while True:
        code = aligned(random_chain(rng, chip))
        if is_defined(code, chip):
            return code


def scattered_memories(rng: np.random.Generator, chip: Chip) -> Memories:
    """Bytes, float32 with special values and int32 in turn; accumulators of every size."""
    memories = Memories.cleared(chip, np.zeros(0, np.uint8))
    size = memories.sram.size // 4
    memories.sram[:] = rng.integers(0, 256, memories.sram.size)
    floats = (rng.normal(size=size // 2) * 50).astype(np.float32)
    floats[::9] = rng.choice(SPECIAL, len(floats[::9]))
    memories.sram[: floats.nbytes] = floats.view(np.uint8)
    shape = memories.accumulators.shape
    memories.accumulators[:] = rng.integers(-(1 << 31), 1 << 31, shape) >> rng.integers(0, 31, shape)
    return memories


class Store(wiring.Component):
    """Rows of bytes with unaligned reads and writes; bytes past a read's `size` come as POISON.

    Reads take MEMORY_READ_CYCLES.
    """

    def __init__(self, rows: int, width: int, reads: int) -> None:
        self.rows, self.width = rows, width
        self.address_bits = (rows * width - 1).bit_length()
        read = wiring.Signature(
            {
                "en": In(1),
                "address": In(unsigned(self.address_bits)),
                "size": In(range(width + 1)),
                "data": Out(8 * width),
            }
        )
        super().__init__(
            {
                "reads": Out(read).array(reads),
                "write_en": In(1),
                "write_address": In(unsigned(self.address_bits)),
                "write_data": In(8 * width),
                "write_mask": In(width),
                "load": In(1),
                "row": In(range(rows)),
                "load_data": In(8 * width),
                "row_data": Out(8 * width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bytes = store = memory.Memory(shape=unsigned(8 * self.width), depth=self.rows, init=[])
        bits = (self.width - 1).bit_length()
        for port in self.reads:
            ends = [store.read_port(domain="comb") for _ in range(2)]
            row = port.address[bits:]
            m.d.comb += [ends[0].addr.eq(row), ends[1].addr.eq(row + 1)]
            both = Cat(end.data for end in ends)
            found = Signal(8 * self.width)
            with m.If(port.en):
                m.d.sync += found.eq(both >> Cat(Const(0, 3), port.address[:bits]))
                for byte in range(self.width):
                    with m.If(byte >= port.size):
                        m.d.sync += found.word_select(byte, 8).eq(POISON)
            m.d.comb += port.data.eq(delayed(m, found, MEMORY_READ_CYCLES - 1, "found"))
        shift, wide = self.write_address[:bits], Signal(2 * self.width)
        data = Signal(16 * self.width)
        m.d.comb += [wide.eq(self.write_mask << shift)]
        m.d.comb += data.eq(self.write_data << Cat(Const(0, 3), shift))
        for half in range(2):
            port = store.write_port(granularity=8)
            row = self.write_address[bits:] + half
            m.d.comb += [port.addr.eq(row), port.data.eq(data.word_select(half, 8 * self.width))]
            with m.If(self.write_en):
                m.d.comb += port.en.eq(wide.word_select(half, self.width))
            if half == 0:
                with m.If(self.load):
                    m.d.comb += [port.addr.eq(self.row), port.data.eq(self.load_data), port.en.eq(-1)]
        look = store.read_port(domain="comb")
        m.d.comb += [look.addr.eq(self.row), self.row_data.eq(look.data)]
        return m


class VectorBench(wiring.Component):
    """The unit with a scratchpad and accumulators, which are loaded and read back a row at a time."""

    def __init__(self, chip: Chip) -> None:
        core = chip.core
        self.core = core
        self.width = 4 * core.vector.lanes
        elements = core.matrix.accumulator_banks * core.matrix.accumulator_rows * core.matrix.columns
        self.sram_rows = core.sram.total_bytes // self.width
        self.accumulator_rows = -(-4 * elements // self.width)
        super().__init__(
            {
                "opcode": In(8),
                "record": In(record_layout(VECTOR)),
                "table_record": In(record_layout(VECTOR_TABLE)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "load_sram": In(1),
                "load_accumulators": In(1),
                "row": In(range(max(self.sram_rows, self.accumulator_rows))),
                "load_data": In(8 * self.width),
                "row_data": Out(8 * self.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core = self.core
        m.submodules.unit = unit = VectorUnit(core.vector, core.matrix, core.sram)
        m.submodules.sram = sram = Store(self.sram_rows, self.width, 3)
        m.submodules.accumulators = accumulators = Store(self.accumulator_rows, self.width, 1)
        for name in ("opcode", "record", "table_record", "start"):
            m.d.comb += getattr(unit, name).eq(getattr(self, name))
        m.d.comb += [self.ready.eq(unit.ready), self.done.eq(unit.done)]
        for user, port in zip(unit.reads, sram.reads, strict=True):
            m.d.comb += [port.en.eq(user.en), port.address.eq(user.address), port.size.eq(user.size)]
            m.d.comb += user.data.eq(port.data)
        for name in ("en", "address", "data", "mask"):
            m.d.comb += getattr(sram, f"write_{name}").eq(getattr(unit.write, name))
        port = accumulators.reads[0]
        m.d.comb += [port.en.eq(unit.accumulator_en), port.address.eq(unit.accumulator_element << 2)]
        m.d.comb += [port.size.eq(unit.accumulator_size << 2), unit.accumulator_data.eq(port.data)]
        for store, load in ((sram, self.load_sram), (accumulators, self.load_accumulators)):
            m.d.comb += [store.load.eq(load), store.row.eq(self.row), store.load_data.eq(self.load_data)]
        m.d.comb += self.row_data.eq(sram.row_data)
        return m


class Bench:
    """Runs instructions on the bench's memories."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.design = VectorBench(chip)
        self.simulation = Simulation(self.design)

    def load(self, memories: Memories) -> None:
        """Bring scratchpad and accumulators to what `memories` hold."""
        for name, content in (("sram", memories.sram), ("accumulators", memories.accumulators)):
            flat = content.reshape(-1).view(np.uint8)
            rows = -(-len(flat) // self.design.width)
            padded = np.zeros(rows * self.design.width, np.uint8)
            padded[: len(flat)] = flat
            words = padded.view(np.uint64).reshape(rows, -1)
            given = {f"load_{name}": np.ones(rows, np.int64), "row": np.arange(rows), "load_data": words}
            self.simulation.run(rows, given, [])
            self.simulation.set(**{f"load_{name}": 0})

    def sram(self) -> np.ndarray:
        rows = self.design.sram_rows
        found = self.simulation.run(rows, {"row": np.arange(rows)}, ["row_data"])["row_data"]
        return found.reshape(-1).view(np.uint8)

    def execute(self, code: bytes) -> int:
        """Start an instruction and wait for its end; return its cycles."""
        first = self.start(code)
        return self.wait() - first

    def start(self, code: bytes) -> int:
        """Start an instruction in the next cycle, and return that cycle."""
        decoded = decode(code)
        opcode = Opcode(int(decoded.opcode[0]))
        number = int.from_bytes(decoded.record(0).tobytes(), "little")
        name = "record" if opcode is Opcode.CHAIN else "table_record"
        simulation = self.simulation
        simulation.step(opcode=int(opcode), start=1, **{name: number})
        assert simulation.get("ready"), "an instruction starts in a unit that is not ready"
        simulation.set(start=0, opcode=0, **{name: (1 << 2048) - 1})
        return simulation.cycle

    def wait(self, most: int = 200_000) -> int:
        """Go on to the end of the instruction, and return its cycle."""
        assert self.simulation.run_until("done", most), f"no end in {most} cycles"
        return self.simulation.cycle

    def expected_cycles(self, code: bytes) -> int:
        """The formula's cycles of an instruction."""
        record, vector = decode(code).record(0), self.chip.core.vector
        if int(record["opcode"]) == Opcode.TABLE:
            return table_cycles(vector)
        steps = [int(step) for step in record["step"][: int(record["steps"])]]
        reduces = bool(record["reduction"])
        split = int(record["steps_before"]) if reduces else len(steps)
        parts = (Section.of(part, vector) for part in (steps[:split], steps[split:]))
        counts = {name: int(record[name]) for name in ("outer_2", "outer_1", "outer_0", "inner")}
        outer = counts["outer_2"] * counts["outer_1"] * counts["outer_0"]
        reduce = int(record["reduce_1"]) * int(record["reduce_0"])
        folded = bool(record["flags"] & 1)
        ring = bool(record["ring_rows"])
        return chain_cycles(
            vector,
            outer,
            reduce,
            counts["inner"],
            is_contiguous(record),
            *parts,
            reduces,
            folded,
            ring,
        )


def is_contiguous(record: Any) -> bool:
    """Whether `lanes` elements go together: no operand strides by other than 0 or an element, no result by
    other than an element."""
    element = {Source.ACCUMULATOR: 1, Source.INT8: 1, Source.INT32: 4, Source.FLOAT32: 4}
    strides = [record["stride_inner"], record["strides_1"][3], record["strides_2"][3]]
    for number, stride in enumerate(strides):
        kind = Source(int(record[f"kind_{number}"]))
        if kind is not Source.NONE and int(stride) not in (0, element[kind]):
            return False
    size = 1 if int(record["kind_out"]) == Destination.INT8 else 4
    return bool(record["flags"] & 1) or int(record["strides_out"][3]) == size
