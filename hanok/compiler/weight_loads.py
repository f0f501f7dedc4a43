"""Load the weights of a matrix layer chunk by chunk, plain, packed or in four bits, each with its biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hanok.compiler.columns import Part
from hanok.compiler.layers import MatrixLayer, Phase
from hanok.compiler.matrix_plan import Chunk, MatrixPlan, chunks_of
from hanok.compiler.nibble_streams import NibbleStream, nibble_stream
from hanok.compiler.pack_weights import WeightPacker
from hanok.compiler.schedule import Buffer
from hanok.compiler.tiles import Mover
from hanok.numerics.huffman import TABLE_BYTES
from hanok.units import align_up

Constants = Callable[[bytes], int]
"""Places a constant in DRAM and returns its address."""


@dataclass(frozen=True)
class Offsets:
    """Where tiles (by phase and pass) and biases (by phase) lie in a loaded blob."""

    tiles: dict[tuple[int, int], int]
    biases: list[int]


@dataclass
class _Blob:
    """Weights and biases that are loaded together: in SRAM `size_bytes`, in DRAM plain, packed or, but for
    the biases, in four bits."""

    size_bytes: int
    offsets: Offsets
    dram: bytes
    packed: bool = False
    stream: NibbleStream | None = None
    """What `dram` begins with where weights have four bits."""
    tile_bytes: int = 0
    """Of them in SRAM."""
    address: int = -1
    """Where the plain bytes or the packed words lie, once they are placed."""


@dataclass(frozen=True)
class LoadedWeights:
    """A loaded blob."""

    buffer: Buffer
    offsets: Offsets


class WeightLoader:
    """The weights of one layer under a plan: which are in SRAM, and where the others lie in DRAM."""

    def __init__(
        self, mover: Mover, layer: MatrixLayer, plan: MatrixPlan, constants: Constants, packer: WeightPacker
    ) -> None:
        self.mover, self.layer, self.plan, self.constants = mover, layer, plan, constants
        self.packer = packer
        self.columns = plan.columns
        self.chunks = chunks_of(self.columns, plan.chunk_blocks)
        self._loaded: dict[tuple[int, int], LoadedWeights] = {}
        self._blobs: dict[tuple[int, int], _Blob] = {}
        self.table = packer.choose_code(layer, self.columns.pixels, self._blob_bytes())
        """The code of packed blobs; empty: all stay plain."""

    def at(self, index: int, part: int) -> LoadedWeights:
        """Where a loaded part of a chunk lies."""
        return self._loaded[index, part]

    def forget(self, index: int, part: int = 0) -> None:
        """Load a part of a chunk anew when it is wanted again."""
        self._loaded.pop((index, part), None)

    def load(self, index: int, part: int = 0) -> None:
        """Load a part of a chunk's weights, if it is not there."""
        key = (index, part)
        if key in self._loaded:
            return
        if key not in self._blobs:
            self._blobs[key] = self._blob(self.chunks[index], part)
        blob = self._blobs[key]
        buffer = Buffer(f"{self.layer.origin.name} weights {index}.{part}", blob.size_bytes)
        self._load_blob(blob, buffer)
        self._loaded[key] = LoadedWeights(buffer, blob.offsets)

    def _load_blob(self, blob: _Blob, buffer: Buffer) -> None:
        """Load a blob; the first packed one of a new code brings its table along."""
        if not blob.packed:
            blob.address = self.constants(blob.dram) if blob.address < 0 else blob.address
            self._load_plain(blob, buffer)
            return
        keep = self.packer.held == self.table
        table_bytes = 0 if keep else TABLE_BYTES
        if not keep:
            blob.address = self.constants(self.table + blob.dram) + TABLE_BYTES
        elif blob.address < 0:
            blob.address = self.constants(blob.dram)
        size = len(blob.dram) + table_bytes
        self.mover.expand_bytes(buffer, blob.address - table_bytes, size, blob.size_bytes, keep)
        self.packer.held = self.table

    def _load_plain(self, blob: _Blob, buffer: Buffer) -> None:
        """Load a blob as it is, but for weights of four bits in front of it."""
        tiles, packed = blob.tile_bytes, 0
        if blob.stream is not None:
            packed = len(blob.stream.content)
            self.mover.unpack_bytes(buffer, 0, blob.address, packed, tiles, blob.stream.group_rows)
        if blob.size_bytes > tiles:
            self.mover.load_bytes(buffer, tiles, blob.address + packed, blob.size_bytes - tiles)

    def _blob_bytes(self) -> int:
        """Bytes of all blobs, biases included."""
        total = 0
        for chunk in self.chunks:
            for phase in self.layer.phases:
                tiles = self.columns.weight_bytes(chunk.job, phase, chunk.first, chunk.last)
                total += tiles * len(phase.weights) + 4 * chunk.channels * self.columns.pixels
        return total

    def packing(self) -> tuple[int, int]:
        """Bytes of the layer's weights and biases in SRAM and in DRAM, each blob once."""
        table_bytes = TABLE_BYTES if any(blob.packed for blob in self._blobs.values()) else 0
        plain = sum(blob.size_bytes for blob in self._blobs.values())
        return plain, sum(len(blob.dram) for blob in self._blobs.values()) + table_bytes

    def parts(self, chunk: Chunk, phase: Phase) -> list[Part]:
        """The pieces of the sum over K whose weights are loaded one after the other."""
        return self.columns.parts(chunk.job, phase, self.plan.parts)

    def _blob(self, chunk: Chunk, part: int) -> _Blob:
        """What a part of a chunk takes in SRAM and in DRAM."""
        content, offsets, tile_bytes = self._content(chunk, part)
        shares = self.parts(chunk, self.layer.phases[0])
        if part < len(shares):
            core = self.mover.chip.core
            stream = nibble_stream(core, self.layer, self.columns, chunk, shares[part])
            if stream is not None:
                dram = stream.content + content[tile_bytes:]
                return _Blob(len(content), offsets, dram, stream=stream, tile_bytes=tile_bytes)
        words = self.packer.pack(content, self.table) if self.table else b""
        return _Blob(len(content), offsets, words or content, bool(words))

    def _content(self, chunk: Chunk, part: int) -> tuple[bytes, Offsets, int]:
        """Weight tiles of every phase and pass, then (with the first part) each phase's biases.

        The last is how many bytes the tiles take.
        """
        parts: list[bytes] = []
        offsets, position = {}, 0
        for number, phase in enumerate(self.layer.phases):
            shares = self.parts(chunk, phase)
            for turn, weights in enumerate(phase.weights):
                offsets[number, turn] = position
                if part < len(shares):
                    content = self.columns.tiles(
                        chunk.job, phase, weights, chunk.first, chunk.last, shares[part]
                    )
                    parts.append(content)
                    position += len(content)
        tile_bytes = position
        parts.append(bytes(align_up(position, 4) - position))
        position = align_up(position, 4)
        biases = []
        for phase in self.layer.phases if part == 0 else ():
            bias = np.tile(phase.bias[chunk.channel : chunk.channel + chunk.channels], self.columns.pixels)
            biases.append(position)
            parts.append(bias.astype("<i4").tobytes())
            position += bias.size * 4
        return b"".join(parts), Offsets(offsets, biases), tile_bytes
