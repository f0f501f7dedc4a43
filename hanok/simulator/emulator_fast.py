"""The fast path: Numba executes everything but the large products, which go to the best exact backend."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Decoded, Opcode
from hanok.isa.table import FLAG_COLUMNS
from hanok.simulator import _kernels_values_matrix as matrix_kernels
from hanok.simulator._kernels_values_chain import BUFFERS, STRIP, chain
from hanok.simulator._kernels_values_dense import dense_chain
from hanok.simulator._kernels_values_matrix import convolve, convolve_depthwise
from hanok.simulator._kernels_values_move import load_table, move, unpack
from hanok.simulator.emulator_chains import ChainPath, plan_chains
from hanok.simulator.emulator_checks import VectorReach
from hanok.simulator.emulator_fields import Fields
from hanok.simulator.emulator_state import Memories
from hanok.simulator.emulator_stepwise import execute
from hanok.simulator.gemm import OFFSET, Sums, best_product

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SMALL_PRODUCT_MACS = 1 << 18
"""Below this the loops inside the dispatcher take less time than leaving it (benchmarks/emulator.py)."""
SMALL_PRODUCT_DEPTH = 1 << 15
WIDE_BLOCK_COLUMNS = 48
"""Blocks at least so wide are multiplied where they lie; narrower ones are laid side by side first."""
PATCH_BYTES = 1 << 23


def _macs(fields: Fields, columns: int) -> Int64Array:
    used = (fields["blocks"] - 1) * columns + fields["last_columns"]
    return _depth(fields) * fields["out_height"] * fields["out_width"] * used


def _depth(fields: Fields) -> Int64Array:
    return fields["taps_y"] * fields["taps_x"] * fields["tap_bytes"]


class FastPath:
    """Executes one checked program on the memories of a core."""

    def __init__(
        self, memories: Memories, decoded: Decoded, fields: dict[str, Fields], reach: VectorReach
    ) -> None:
        self.memories = memories
        self.decoded = decoded
        self.fields = fields
        self.columns = memories.chip.core.matrix.columns
        self.leaves = np.zeros(len(decoded), bool)
        matrix = fields["matrix"]
        large = (_macs(matrix, self.columns) > SMALL_PRODUCT_MACS) | (_depth(matrix) > SMALL_PRODUCT_DEPTH)
        large &= matrix["opcode"] == Opcode.CONV
        self.leaves[np.isin(decoded.opcode, (Opcode.CONV, Opcode.DEPTHWISE))] = large
        self.chains = plan_chains(fields["vector"], reach)
        self.patch = np.zeros(PATCH_BYTES, np.uint8)
        self.words = np.zeros(STRIP, np.int32)
        self.buffers = np.zeros((BUFFERS, STRIP), np.float32)
        self.signed, self.floats = memories.sram.view(np.int8), memories.sram.view(np.float32)
        self.elements = memories.accumulators.reshape(-1)

    def run(self, sequence: Int64Array) -> None:
        """Execute the instructions in the order of `sequence`."""
        memories, fields = self.memories, self.fields
        dma, matrix, tables = fields["dma"].integers, fields["matrix"].integers, fields["table"].integers
        dram, sram, accumulators = memories.dram, memories.sram, memories.accumulators
        signed = sram.view(np.int8)
        opcodes, rows, leaves = self.decoded.opcode.tolist(), self.decoded.row.tolist(), self.leaves.tolist()
        for index in sequence.tolist():
            row = rows[index]
            match opcodes[index]:
                case Opcode.CHAIN:
                    self._chain(index, row)
                case Opcode.CONV if leaves[index]:
                    self._convolve(matrix[row])
                case Opcode.CONV:
                    convolve(matrix[row], sram, signed, self.columns, self.patch, accumulators)
                case Opcode.DEPTHWISE:
                    convolve_depthwise(matrix[row], sram, signed, self.columns, accumulators)
                case Opcode.EXPAND:
                    execute(memories, self.decoded.record(index))
                case Opcode.UNPACK:
                    unpack(dma[row], dram, sram, self.columns)
                case Opcode.TABLE:
                    load_table(tables[row], sram, memories.table)
                case _:
                    move(dma[row], dram, sram)

    def _chain(self, index: int, row: int) -> None:
        """One CHAIN in the kernel that its plan names."""
        memories, chains = self.memories, self.chains
        field, scales, still = chains.joined[row], chains.scales[row], chains.still[row]
        match chains.path[row]:
            case ChainPath.DENSE:
                dense_chain(
                    field,
                    scales,
                    still,
                    self.signed,
                    self.floats,
                    self.elements,
                    memories.table,
                    self.buffers,
                )
            case ChainPath.GENERAL:
                lanes = memories.chip.core.vector.lanes
                chain(
                    field,
                    scales,
                    still,
                    lanes,
                    memories.sram,
                    self.elements,
                    memories.table,
                    self.words,
                    self.buffers,
                )
            case _:
                execute(memories, self.decoded.record(index))

    def _convolve(self, field: Int64Array) -> None:
        """One CONV as exact products of patch matrices and weights."""
        positions = int(field[matrix_kernels.OUT_HEIGHT] * field[matrix_kernels.OUT_WIDTH])
        depth = int(
            field[matrix_kernels.TAPS_Y] * field[matrix_kernels.TAPS_X] * field[matrix_kernels.TAP_BYTES]
        )
        blocks, last = int(field[matrix_kernels.BLOCKS]), int(field[matrix_kernels.LAST_COLUMNS])
        shared = field[matrix_kernels.X_BLOCK] == 0
        rows = max(1, PATCH_BYTES // depth)
        if len(self.patch) < rows * depth:
            self.patch = np.zeros(rows * depth, np.uint8)
        by_column = bool(field[matrix_kernels.FLAGS] & FLAG_COLUMNS)
        packed = None
        if shared and (by_column or (blocks > 1 and self.columns < WIDE_BLOCK_COLUMNS)):
            packed = np.empty((depth, (blocks - 1) * self.columns + last), np.int8)
            if by_column:
                matrix_kernels.turn_weights(field, self.signed, 0, packed)
            else:
                matrix_kernels.pack_weights(field, self.memories.sram, self.columns, depth, packed)
        for first in range(0, positions, rows):
            end = min(first + rows, positions)
            if packed is not None:
                product = best_product()(self._patches(field, 0, first, end, depth), packed)
                for block in range(blocks):
                    self._add(field, block, first, end, product, block * self.columns)
                continue
            for block in range(blocks):
                if block == 0 or not shared:
                    patches = self._patches(field, block, first, end, depth)
                product = best_product()(patches, self._weights(field, block, depth))
                self._add(field, block, first, end, product, 0)

    def _patches(
        self, field: Int64Array, block: int, first: int, end: int, depth: int
    ) -> npt.NDArray[np.uint8]:
        patches = self.patch[: (end - first) * depth]
        matrix_kernels.gather_patches(field, self.memories.sram, block, first, end, np.uint8(OFFSET), patches)
        return patches.reshape(end - first, depth)

    def _weights(self, field: Int64Array, block: int, depth: int) -> npt.NDArray[np.int8]:
        last = block == field[matrix_kernels.BLOCKS] - 1
        used = int(field[matrix_kernels.LAST_COLUMNS]) if last else self.columns
        if field[matrix_kernels.FLAGS] & FLAG_COLUMNS:
            turned = np.empty((depth, used), np.int8)
            matrix_kernels.turn_weights(field, self.signed, block * self.columns, turned)
            return turned
        start = int(field[matrix_kernels.WEIGHT]) + block * depth * self.columns
        return self.memories.sram[start : start + depth * used].view(np.int8).reshape(depth, used)

    def _add(
        self, field: Int64Array, block: int, first: int, end: int, product: Sums, first_column: int
    ) -> None:
        matrix_kernels.add_product(
            field,
            self.memories.sram,
            block,
            first,
            end,
            self.columns,
            product,
            first_column,
            self.memories.accumulators,
        )
