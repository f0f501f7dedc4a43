"""The specification of every instruction, executed literally with NumPy: slow and right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hanok.errors import VerifyError
from hanok.isa import Destination, Opcode, Operand, Reduction, Source, Step, Unit
from hanok.isa.faults import Fault
from hanok.isa.table import (
    BY_OPCODE,
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_COLUMNS,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
)
from hanok.numerics import canonical_nan, round_clamp, saturate_int32, wrap_int32
from hanok.numerics.fused import fused_multiply_add
from hanok.numerics.huffman import TABLE_BYTES, decoding_windows, lengths_of, unpack_words
from hanok.numerics.nibbles import unpack_stream
from hanok.simulator.emulator_state import Memories

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Record = np.void

_ELEMENT_BYTES = {Source.INT8: 1, Source.INT32: 4, Source.FLOAT32: 4}
_ELEMENT_TYPE = {Source.INT8: np.int8, Source.INT32: np.int32, Source.FLOAT32: np.float32}
REDUCTION_START = {Reduction.SUM: 0.0, Reduction.MAX: -np.inf, Reduction.MIN: np.inf}
"""What a fold starts from, and so the result where every element is left out."""


def execute(memories: Memories, record: Record) -> None:
    """Execute one instruction whose fields and bounds have been checked."""
    opcode = Opcode(int(record["opcode"]))
    match BY_OPCODE[opcode].unit:
        case Unit.LOAD if opcode is Opcode.EXPAND:
            _expand(memories, record)
        case Unit.LOAD if opcode is Opcode.UNPACK:
            _unpack(memories, record)
        case Unit.LOAD | Unit.STORE:
            _move(memories, record, opcode)
        case Unit.MATRIX:
            _multiply(memories, record, opcode is Opcode.DEPTHWISE)
        case Unit.VECTOR if opcode is Opcode.TABLE:
            address = int(record["address"])
            memories.table[:] = memories.sram[address : address + memories.table.nbytes].view(np.float32)
        case Unit.VECTOR:
            with np.errstate(all="ignore"):
                _Chain(memories, record).execute()


def _expand(memories: Memories, record: Record) -> None:
    start, sram, run = (int(record[name]) for name in ("dram_address", "sram_address", "run_bytes"))
    packed = memories.dram[start : start + int(record["packed_bytes"])]
    fault = ""
    if not int(record["flags"]) & FLAG_KEEP_CODE:
        windows = decoding_windows(lengths_of(packed[:TABLE_BYTES]))
        packed = packed[TABLE_BYTES:]
        if windows is None:
            fault = "code lengths that make no prefix code"
        else:
            memories.windows[:] = windows
    streams = memories.chip.core.dma.expand_streams
    fault = fault or unpack_words(packed, memories.windows, streams, memories.sram[sram : sram + run])
    if fault:
        raise VerifyError(
            f"EXPAND of the stream at DRAM byte {start}: {fault}; compile the model again", Fault.NO_SUCH_CODE
        )


def _unpack(memories: Memories, record: Record) -> None:
    start, sram, run = (int(record[name]) for name in ("dram_address", "sram_address", "run_bytes"))
    packed = memories.dram[start : start + int(record["packed_bytes"])]
    weights = unpack_stream(packed, memories.chip.core.matrix.columns, int(record["group_rows"]))
    memories.sram[sram : sram + run] = weights.reshape(-1).view(np.uint8)


def _move(memories: Memories, record: Record, opcode: Opcode) -> None:
    run = int(record["run_bytes"])
    for index in np.ndindex(int(record["count_3"]), int(record["count_2"]), int(record["count_1"])):
        offsets = zip(index, (3, 2, 1), strict=True)
        pairs = [
            (i * int(record[f"dram_stride_{k}"]), i * int(record[f"sram_stride_{k}"])) for i, k in offsets
        ]
        dram = int(record["dram_address"]) + sum(pair[0] for pair in pairs)
        sram = int(record["sram_address"]) + sum(pair[1] for pair in pairs)
        match opcode:
            case Opcode.LOAD:
                memories.sram[sram : sram + run] = memories.dram[dram : dram + run]
            case Opcode.STORE:
                memories.dram[dram : dram + run] = memories.sram[sram : sram + run]
            case _:
                memories.sram[sram : sram + run] = int(record["value"]) & 0xFF


def _slots(record: Record, y: Int64Array) -> Int64Array:
    ring = int(record["ring_rows"])
    return (y + int(record["ring_start"])) % ring if ring else y


def _activations(memories: Memories, record: Record, y: Int64Array, x: Int64Array) -> Int64Array:
    """Bytes at rows y and offsets x (broadcast), `pad` outside the limits."""
    inside = (y >= 0) & (y < int(record["y_limit"])) & (x >= 0) & (x < int(record["x_limit"]))
    address = int(record["activation_address"]) + _slots(record, y) * int(record["row_pitch"]) + x
    values = memories.sram[np.where(inside, address, 0)].view(np.int8)
    return np.where(inside, values.astype(np.int64), int(record["pad"]))


def _tiles(record: Record, rows: int, depthwise: bool) -> Iterator[tuple[int, int, int, int]]:
    """Weight tiles of a block in order: vertical tap, horizontal tap, first byte of the tap, tile rows."""
    for tap_y in range(int(record["taps_y"])):
        if depthwise:
            yield tap_y, 0, 0, int(record["taps_x"])
            continue
        for tap_x in range(int(record["taps_x"])):
            for first in range(0, int(record["tap_bytes"]), rows):
                yield tap_y, tap_x, first, min(rows, int(record["tap_bytes"]) - first)


def _multiply(memories: Memories, record: Record, depthwise: bool) -> None:
    matrix = memories.chip.core.matrix
    height, width = int(record["out_height"]), int(record["out_width"])
    weight_address, bias_address = int(record["weight_address"]), int(record["bias_address"])
    out_y = np.arange(height)[:, None, None]
    out_x = np.arange(width)[None, :, None]
    for block in range(int(record["blocks"])):
        if int(record["flags"]) & FLAG_COLUMNS:
            first_column = block * matrix.columns
            weight_address = int(record["weight_address"]) + first_column * int(record["weight_pitch"])
        used = matrix.columns if block < int(record["blocks"]) - 1 else int(record["last_columns"])
        first_row = int(record["accumulator_row"]) + block * height * width
        target = memories.accumulators[first_row : first_row + height * width, :used]
        total = np.zeros((height * width, used), np.int64)
        if int(record["flags"]) & FLAG_ACCUMULATE:
            total += target
        if int(record["flags"]) & FLAG_BIAS:
            total += memories.sram[bias_address : bias_address + 4 * used].view("<i4")
            bias_address += 4 * used
        for tap_y, tap_x, first, tile_rows in _tiles(record, matrix.rows, depthwise):
            if int(record["flags"]) & FLAG_COLUMNS:
                starts = weight_address + np.arange(used) * int(record["weight_pitch"])
                tile_bytes = memories.sram[starts + np.arange(tile_rows)[:, None]]
                weight_address += tile_rows
            else:
                tile_bytes = memories.sram[weight_address : weight_address + tile_rows * used]
                weight_address += tile_rows * used
            tile = tile_bytes.view(np.int8).reshape(tile_rows, used).astype(np.int64)
            y = int(record["y_start"]) + out_y * int(record["y_stride"]) + tap_y * int(record["y_dilation"])
            x = int(record["x_start"]) + out_x * int(record["x_stride"]) + block * int(record["x_block"])
            if depthwise:
                for tap in range(tile_rows):
                    offset = x + tap * int(record["x_tap"]) + np.arange(used)
                    total += _activations(memories, record, y, offset).reshape(-1, used) * tile[tap]
            else:
                offset = x + tap_x * int(record["x_tap"]) + first + np.arange(tile_rows)
                total += _activations(memories, record, y, offset).reshape(-1, tile_rows) @ tile
            total = wrap_int32(total).astype(np.int64)
        target[:] = total


class _Chain:
    """One CHAIN instruction; arrays have the axes outer_2, outer_1, outer_0, inner."""

    def __init__(self, memories: Memories, record: Record) -> None:
        self.memories = memories
        self.record = record
        self.shape = tuple(int(record[name]) for name in ("outer_2", "outer_1", "outer_0", "inner"))
        self.index = np.meshgrid(*(np.arange(count) for count in self.shape), indexing="ij", sparse=True)
        self.reduction = Reduction(int(record["reduction"]))
        self.reduce_inner = bool(int(record["flags"]) & FLAG_REDUCE_INNER)

    def execute(self) -> None:
        """Read, make the steps, fold and write; every read comes before every write."""
        record = self.record
        steps, before = int(record["steps"]), int(record["steps_before"])
        if self.reduction is Reduction.NONE:
            value, inside = self._source_0(0, 0)
            self._write(self._steps(np.where(inside, value, np.float32(0)), range(steps), folded=False))
            return
        width = self.memories.chip.core.vector.lanes if self.reduce_inner else self.shape[3]
        folded = np.full((*self.shape[:3], width), REDUCTION_START[self.reduction], np.float32)
        for reduce_1 in range(int(record["reduce_1"])):
            for reduce_0 in range(int(record["reduce_0"])):
                value, inside = self._source_0(reduce_1, reduce_0)
                value = self._steps(value, range(before), folded=False)
                for first in range(0, self.shape[3], width):
                    part = value[..., first : first + width]
                    lanes = folded[..., : part.shape[3]]
                    lanes[...] = np.where(inside[..., : part.shape[3]], self._fold(lanes, part), lanes)
        if self.reduce_inner:
            while folded.shape[3] > 1:
                half = folded.shape[3] // 2
                folded = self._fold(folded[..., :half], folded[..., half:])
        self._write(self._steps(folded, range(before, steps), folded=self.reduce_inner))

    def _fold(self, total: Float32Array, value: Float32Array) -> Float32Array:
        match self.reduction:
            case Reduction.SUM:
                return total + value
            case Reduction.MAX:
                return np.where(value > total, value, total)
            case _:
                return np.where(value < total, value, total)

    def _source_0(self, reduce_1: int, reduce_0: int) -> tuple[Float32Array, BoolArray]:
        record = self.record
        outer_2, outer_1, outer_0, inner = self.index
        y = int(record["y_start"]) + outer_1 * int(record["y_stride"]) + reduce_1 * int(record["y_dilation"])
        x = int(record["x_start"]) + outer_0 * int(record["x_stride"]) + reduce_0 * int(record["x_dilation"])
        inside = (y >= 0) & (y < int(record["y_limit"])) & (x >= 0) & (x < int(record["x_limit"]))
        address = int(record["address_0"]) + _slots(record, y) * int(record["row_pitch"])
        address = address + x * int(record["pixel_pitch"]) + outer_2 * int(record["stride_2"])
        address = address + inner * int(record["stride_inner"])
        inside = np.broadcast_to(inside, self.shape)
        return self._operand(0, np.where(inside, address, 0)), inside

    def _operand(self, number: int, address: Int64Array) -> Float32Array:
        """Elements of operand `number` at byte addresses (accumulator: elements), as scaled float32."""
        kind = Source(int(self.record[f"kind_{number}"]))
        scale = np.float32(self.record[f"scale_{number}"])
        if kind is Source.ACCUMULATOR:
            elements = self.memories.accumulators.reshape(-1)[address]
        else:
            size = _ELEMENT_BYTES[kind]
            gathered = self.memories.sram[address[..., None] + np.arange(size)]
            elements = np.ascontiguousarray(gathered).view(_ELEMENT_TYPE[kind])[..., 0]
        if kind is Source.FLOAT32:
            return elements.astype(np.float32) * scale
        return (elements.astype(np.int64) - int(self.record[f"zero_{number}"])).astype(np.float32) * scale

    def _side(self, number: int, folded: bool) -> Float32Array:
        strides = [int(stride) for stride in self.record[f"strides_{number}"]]
        address = int(self.record[f"address_{number}"]) + sum(
            index * stride for index, stride in zip(self.index[:3], strides[:3], strict=True)
        )
        if not folded:
            address = address + self.index[3] * strides[3]
        return self._operand(number, np.asarray(address))

    def _steps(self, value: Float32Array, numbers: range, folded: bool) -> Float32Array:
        """Make chain steps `numbers`; `folded`: the inner loop is gone. Each run starts with saved = 0."""
        record = self.record
        saved = np.zeros_like(value)
        for number in numbers:
            step = Step(int(record["step"][number]))
            match Operand(int(record["operand"][number])):
                case Operand.IMMEDIATE:
                    operand = np.asarray(record["immediate"][number])
                case Operand.SOURCE_1:
                    operand = self._side(1, folded)
                case Operand.SOURCE_2:
                    operand = self._side(2, folded)
                case _:
                    operand = saved
            if step is Step.SAVE:
                saved = value
            elif step is Step.FUSED_ADD:
                value = fused_multiply_add(operand, np.float32(record["immediate"][number]), value)
            else:
                value = self._step(step, value, operand, saved)
        return value

    def _step(self, step: Step, v: Float32Array, o: Float32Array, saved: Float32Array) -> Float32Array:
        record = self.record
        match step:
            case Step.ADD:
                return v + o
            case Step.SUB:
                return v - o
            case Step.REVERSE_SUB:
                return o - v
            case Step.MUL:
                return v * o
            case Step.DIV:
                return v / o
            case Step.REVERSE_DIV:
                return o / v
            case Step.MAX:
                return np.where(o > v, o, v)
            case Step.MIN:
                return np.where(o < v, o, v)
            case Step.ROUND:
                zero, low, high = (int(record[name]) for name in ("round_zero", "round_low", "round_high"))
                return round_clamp(v, zero, low, high).astype(np.float32)
            case Step.LOOKUP:
                return self.memories.table[round_clamp(v, 0, -128, 127) + 128]
            case Step.GREATER:
                return (v > o).astype(np.float32)
            case Step.SELECT:
                return np.where(v != 0, o, saved)
            case Step.TAKE:
                return np.broadcast_to(o, v.shape).astype(np.float32)
            case _:
                assert step is Step.NONE, f"step {step.name} is not executed here"
                return v

    def _write(self, value: Float32Array) -> None:
        record = self.record
        strides = [int(stride) for stride in record["strides_out"]]
        axes = [np.arange(count) * stride for count, stride in zip(value.shape, strides, strict=True)]
        offset = sum(np.meshgrid(*axes, indexing="ij", sparse=True))
        address = int(record["address_out"]) + np.broadcast_to(np.asarray(offset), value.shape)
        match Destination(int(record["kind_out"])):
            case Destination.INT8:
                limits = (int(record[name]) for name in ("zero_out", "low_out", "high_out"))
                elements = round_clamp(value, *limits).astype(np.int8).view(np.uint8)[..., None]
            case Destination.INT32:
                elements = saturate_int32(value)[..., None].view(np.uint8)
            case Destination.FLOAT32:
                elements = canonical_nan(value)[..., None].view(np.uint8)
        self.memories.sram[address[..., None] + np.arange(elements.shape[-1])] = elements
