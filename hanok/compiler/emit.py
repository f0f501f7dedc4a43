"""Turn the layers of a stage into placed instructions, one layer after the other, with smaller tiles on demand."""

from __future__ import annotations

from hanok.compiler.allocate import Allocator
from hanok.compiler.emit_matrix import MatrixEmitter
from hanok.compiler.emit_move import MoveEmitter
from hanok.compiler.emit_vector import VectorEmitter
from hanok.compiler.layers import (
    CopyLayer,
    ElementLayer,
    Layer,
    MatrixLayer,
    ReduceLayer,
    ResizeLayer,
    SoftmaxLayer,
    StridedLayer,
    WindowLayer,
)
from hanok.compiler.plan_matrix import Budget, plan_matrix
from hanok.compiler.residency import Life
from hanok.compiler.schedule import Schedule
from hanok.compiler.tiles import Mover
from hanok.errors import CompileError
from hanok.machine import Chip
from hanok.units import align_up

ALIGNMENT = 64


class ConstantPool:
    """The constants of a program in DRAM; equal contents share a place."""

    def __init__(self, address: int) -> None:
        self.address = address
        self._parts: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def place(self, content: bytes) -> int:
        """Add `content` and return its address."""
        if content not in self._places:
            self._places[content] = self.address + self._size
            padded = align_up(len(content), ALIGNMENT)
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

    def __init__(self, chip: Chip, bytes_per_cycle: float, constants: ConstantPool, residents: list[Life]) -> None:
        self.chip, self.bytes_per_cycle, self.constants = chip, bytes_per_cycle, constants
        self.schedule = Schedule(chip)
        self.mover = Mover(chip, self.schedule)
        self.allocator = Allocator(chip)
        self.residents = residents
        self.mappings: list[str] = []

    def emit(self, layer: Layer, index: int, number: int) -> None:
        """Emit layer `index` of the stage, reported as layer `number` of the program."""
        self.mover.layer = number
        start = len(self.schedule.operations)
        self.allocator.expire(start)
        for life in self.residents:
            if life.first == index:
                buffer = self.mover.make_resident(life.storage)
                buffer.pinned, buffer.first_use, buffer.last_use = True, start, start
                self.allocator.take(buffer)
        banks = self.allocator.free_banks
        state, mark, turn = self.allocator.snapshot(), self.constants.mark(), self.schedule.accumulator_turn
        uses = {buffer: (buffer.first_use, buffer.last_use) for buffer in self.mover.resident_buffers}
        while True:
            try:
                mapping = self._dispatch(layer, banks)
                self.allocator.place(self.schedule.operations, start)
                break
            except CompileError:
                banks = banks * 4 // 5
                if banks < 3:
                    raise
                del self.schedule.operations[start:]
                self.allocator.restore(state)
                self.constants.drop(mark)
                self.schedule.accumulator_turn = turn
                for buffer, (first, last) in uses.items():
                    buffer.first_use, buffer.last_use = first, last
        self.mappings.append(mapping)
        for life in self.residents:
            if life.last == index:
                self.mover.make_resident(life.storage).pinned = False

    def _dispatch(self, layer: Layer, banks: int) -> str:
        vector = VectorEmitter(self.mover, banks, self.constants.place)
        move = MoveEmitter(self.mover, banks)
        if isinstance(layer, MatrixLayer):
            plan = plan_matrix(layer, self.chip, Budget(banks, self.bytes_per_cycle))
            MatrixEmitter(self.mover, layer, plan, self.constants.place).emit()
            return plan.describe()
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
        return "vector unit"

