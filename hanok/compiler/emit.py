"""Turn the layers of a stage into placed instructions, one after the other; smaller tiles on demand."""

from __future__ import annotations

from hanok.compiler.allocate import Allocator
from hanok.compiler.emit_formula import FormulaEmitter
from hanok.compiler.emit_matrix import MatrixEmitter
from hanok.compiler.emit_move import MoveEmitter
from hanok.compiler.emit_product import ProductEmitter
from hanok.compiler.emit_reduce import ReductionEmitter
from hanok.compiler.encode import encode_operations
from hanok.compiler.formula_layer import FormulaLayer
from hanok.compiler.layers import (
    CopyLayer,
    ElementLayer,
    Layer,
    MatrixLayer,
    ProductLayer,
    ReduceLayer,
    ResizeLayer,
    SoftmaxLayer,
    StridedLayer,
    WindowLayer,
)
from hanok.compiler.matrix_plan import MatrixPlan
from hanok.compiler.pack_weights import WeightPacker
from hanok.compiler.plan_matrix import Planner
from hanok.compiler.reorder import Measure
from hanok.compiler.residency import CrowdedError, Life
from hanok.compiler.schedule import Buffer, Schedule
from hanok.compiler.tiles import Mover
from hanok.compiler.view import Storage
from hanok.errors import CompileError
from hanok.machine import Chip
from hanok.units import align_up

ALIGNMENT = 64


class ConstantPool:
    """The constants of a program in DRAM, from an address on; equal contents share a place.

    Each begins with a beat of the chip's DMA engine where UNPACK asks for that.
    """

    def __init__(self, address: int, chip: Chip) -> None:
        dma = chip.core.dma
        self._alignment = max(ALIGNMENT, dma.bytes_per_cycle) if dma.int4 else ALIGNMENT
        self.address = align_up(address, self._alignment)
        self._parts: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def place(self, content: bytes) -> int:
        """Add `content` and return its address."""
        if content not in self._places:
            self._places[content] = self.address + self._size
            padded = align_up(len(content), self._alignment)
            self._parts.append(content + bytes(padded - len(content)))
            self._size += padded
        return self._places[content]

    @property
    def image(self) -> bytes:
        """All constants, one after the other."""
        return b"".join(self._parts)

    def mark(self) -> int:
        """A point to come back to."""
        return len(self._parts)

    def drop(self, mark: int) -> None:
        """Forget what was added since `mark`."""
        removed = self._parts[mark:]
        del self._parts[mark:]
        self._size -= sum(len(part) for part in removed)
        limit = self.address + self._size
        self._places = {content: place for content, place in self._places.items() if place < limit}


class StageEmitter:
    """Emits the layers of one NPU stage."""

    def __init__(
        self,
        chip: Chip,
        planner: Planner,
        constants: ConstantPool,
        residents: list[Life],
        measure: Measure | None,
    ) -> None:
        self.chip, self.planner, self.constants = chip, planner, constants
        self.measure = measure
        self.schedule = Schedule(chip)
        self.mover = Mover(chip, self.schedule)
        self.allocator = Allocator(chip)
        self.residents = residents
        self.packer = WeightPacker(chip, planner.bytes_per_cycle)
        self.mappings: list[str] = []
        self.packings: list[tuple[int, int]] = []
        """Bytes of each layer's weights in SRAM and in DRAM."""

    def emit(self, layer: Layer, index: int, number: int) -> None:
        """Emit layer `index` of the stage, reported as layer `number` of the program."""
        self.mover.layer = number
        start = len(self.schedule.operations)
        self.allocator.expire(start)
        for life in self.residents:
            if life.first == index:
                buffer = self.mover.make_resident(life.storage)
                buffer.pinned, buffer.first_use, buffer.last_use = True, start, start
                try:
                    self.allocator.take(buffer)
                except CompileError as error:
                    raise CrowdedError(life, str(error)) from None
        banks = self.allocator.free_banks
        state, mark, turn = self.allocator.snapshot(), self.constants.mark(), self.schedule.accumulator_turn
        held = self.packer.held
        uses = {buffer: (buffer.first_use, buffer.last_use) for buffer in self.mover.resident_buffers}
        while True:
            try:
                mapping, packing = self._dispatch(layer, banks)
                self.allocator.place(self.schedule.operations, start)
                break
            except CompileError as error:
                banks = banks * 4 // 5
                if banks < 3:
                    raise self._too_large(layer, index, error) from None
                del self.schedule.operations[start:]
                self.allocator.restore(state)
                self.constants.drop(mark)
                self.schedule.accumulator_turn, self.packer.held = turn, held
                for buffer, (first, last) in uses.items():
                    buffer.first_use, buffer.last_use = first, last
        self.mappings.append(mapping)
        self.packings.append(packing)
        for life in self.residents:
            if life.last == index:
                self.mover.make_resident(life.storage).pinned = False

    def _too_large(self, layer: Layer, index: int, error: CompileError) -> CompileError:
        """Blame the largest resident that lives through the layer, or, without one, the layer itself."""
        beside = [life for life in self.residents if life.first <= index <= life.last]
        if beside:
            return CrowdedError(max(beside, key=lambda life: life.storage.size_bytes), str(error))
        origin, sram = layer.origin, self.chip.core.sram
        return CompileError(
            f"{origin.onnx_type} '{origin.name}' does not fit chip '{self.chip.name}': {error}; its smallest "
            f"tiles must fit {sram.banks} banks of {sram.bank_bytes} bytes: choose a chip with a larger "
            "core.sram, or split the operator"
        )

    def _dispatch(self, layer: Layer, banks: int) -> tuple[str, tuple[int, int]]:
        vector = ReductionEmitter(self.mover, banks, self.constants.place)
        move = MoveEmitter(self.mover, banks)
        if isinstance(layer, MatrixLayer):
            plan = self._choose_plan(layer, banks)
            emitter = MatrixEmitter(self.mover, layer, plan, self.constants.place, self.packer)
            emitter.emit()
            plain, packed = emitter.weights.packing()
            share = f", weights packed to {100 * packed / plain:.0f} %" if packed < plain else ""
            return plan.describe() + share, (plain, packed)
        match layer:
            case WindowLayer():
                vector.window(layer)
            case ElementLayer():
                vector.element(layer)
            case ReduceLayer():
                vector.reduce(layer)
            case SoftmaxLayer():
                vector.softmax(layer)
            case CopyLayer():
                move.copy(layer)
            case StridedLayer():
                move.strided(layer)
            case ResizeLayer():
                move.resize(layer)
            case ProductLayer():
                ProductEmitter(self.mover, layer, banks).emit()
                return "matrix unit, both operands from memory", (0, 0)
            case FormulaLayer():
                FormulaEmitter(self.mover, banks, self.constants.place).formula(layer)
        return "vector unit", (0, 0)

    def _choose_plan(self, layer: MatrixLayer, banks: int) -> MatrixPlan:
        """The plan with the fewest cycles: by the formulas, or measured among the best of each kind."""
        plans = self.planner.candidates(layer, banks)
        if self.measure is None or len(plans) == 1:
            return plans[0]
        key = self.planner.key(layer, banks)
        if key not in self.planner.measured:
            cycles = [self._try_plan(layer, plan, banks, self.measure) for plan in plans]
            self.planner.measured[key] = cycles.index(min(cycles))
        return plans[self.planner.measured[key]]

    def _try_plan(self, layer: MatrixLayer, plan: MatrixPlan, banks: int, measure: Measure) -> float:
        """Cycles of one layer under a plan, with its residents in place and `banks` free banks.

        The layer runs twice in a row, so that a plan is not blamed for a start and an end that overlap with
        its neighbours in the program.
        """
        schedule, allocator = Schedule(self.chip), Allocator(self.chip)
        mover = Mover(self.chip, schedule)
        kept = [mover.make_resident(s) for s in dict.fromkeys(_storages(layer)) if s.resident]
        spare = allocator.free_banks - banks - sum(allocator.banks_of(buffer) for buffer in kept)
        if spare > 0:
            kept.append(Buffer("other residents", spare * self.chip.core.sram.bank_bytes, long_lived=True))
        packer = WeightPacker(self.chip, self.planner.bytes_per_cycle)
        packer.held = self.packer.held
        try:
            for buffer in kept:
                buffer.pinned = True
                allocator.take(buffer)
            pool = ConstantPool(self.constants.address, self.chip)
            for _ in range(2):
                MatrixEmitter(mover, layer, plan, pool.place, packer).emit()
            allocator.place(schedule.operations, 0)
        except CompileError:
            return float("inf")
        return measure(encode_operations(schedule.operations, self.chip)).cycles


def _storages(layer: MatrixLayer) -> list[Storage]:
    return [*(view.storage for view in layer.views), layer.output.storage]
