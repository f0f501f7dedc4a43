"""Build CHAIN instructions: loops, operands in tiles or accumulators, steps and the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hanok.compiler.formula_layer import Output
from hanok.compiler.schedule import Access, Location, Operation
from hanok.isa import VECTOR_STEPS, Destination, Opcode, Operand, Reduction, Source, Step

ELEMENT_BYTES = {Source.INT8: 1, Source.INT32: 4, Source.FLOAT32: 4, Source.ACCUMULATOR: 1}
INTEGER_OUTPUT = Output(0, -128, 127)


@dataclass(frozen=True)
class Window:
    """How operand 0 moves: y = start + outer * stride + reduce * dilation, legal below limit; x alike."""

    y: tuple[int, int, int, int]
    x: tuple[int, int, int, int]
    row_pitch: int
    pixel_pitch: int


@dataclass(frozen=True)
class Stream:
    """A second or third operand: bytes a step of (outer_2, outer_1, outer_0, inner)."""

    kind: Source
    place: Location
    strides: tuple[int, int, int, int]
    access: Access
    zero: int = 0
    scale: float = 1.0


@dataclass
class Chain:
    """A CHAIN under construction."""

    outer: tuple[int, int, int]
    inner: int
    kind: Source
    window: Window
    place: Location | None
    accumulator_element: int = 0
    source_access: Access | None = None
    zero: int = 0
    scale: float = 1.0
    stride_2: int = 0
    stride_inner: int = 1
    reduce: tuple[int, int] = (1, 1)
    reduction: Reduction = Reduction.NONE
    reduce_inner: bool = False
    streams: list[Stream] = field(default_factory=list)
    steps: list[tuple[Step, Operand, float]] = field(default_factory=list)
    steps_before: int | None = None
    rounding: Output = INTEGER_OUTPUT

    def step(self, step: Step, operand: Operand = Operand.IMMEDIATE, immediate: float = 0.0) -> Chain:
        """Append a step."""
        self.steps.append((step, operand, float(immediate)))
        return self

    def stream(self, stream: Stream) -> Operand:
        """Add an operand; return how steps name it."""
        self.streams.append(stream)
        return Operand(len(self.streams))

    def operation(
        self,
        target: Location,
        strides: tuple[int, int, int, int],
        access: Access,
        layer: int,
        output: Output = INTEGER_OUTPUT,
        kind: Destination = Destination.INT8,
        accumulator_bank: int = -1,
    ) -> Operation:
        """Finish the instruction: write to `target` with `strides` (outer_2, outer_1, outer_0, inner)."""
        assert len(self.steps) <= VECTOR_STEPS, "a chain has at most 8 steps"
        values: dict[str, Any] = dict(zip(("outer_2", "outer_1", "outer_0"), self.outer, strict=True))
        values |= {
            "reduce_1": self.reduce[0],
            "reduce_0": self.reduce[1],
            "inner": self.inner,
            "reduction": int(self.reduction),
            "flags": int(self.reduce_inner),
            "steps": len(self.steps),
            "steps_before": len(self.steps) if self.steps_before is None else self.steps_before,
            "kind_0": int(self.kind),
            "zero_0": self.zero,
            "scale_0": self.scale,
            "scale_1": 1.0,
            "scale_2": 1.0,
            "row_pitch": self.window.row_pitch,
            "pixel_pitch": self.window.pixel_pitch,
            "stride_2": self.stride_2,
            "stride_inner": self.stride_inner,
            "kind_out": int(kind),
            "strides_out": strides,
            "zero_out": output.zero,
            "low_out": output.low,
            "high_out": output.high,
            "round_zero": self.rounding.zero,
            "round_low": self.rounding.low,
            "round_high": self.rounding.high,
            "step": [int(step) for step, _, _ in self.steps] + [0] * (VECTOR_STEPS - len(self.steps)),
            "operand": [int(item) for _, item, _ in self.steps] + [0] * (VECTOR_STEPS - len(self.steps)),
            "immediate": [item for _, _, item in self.steps] + [0.0] * (VECTOR_STEPS - len(self.steps)),
        }
        for axis, numbers in (("y", self.window.y), ("x", self.window.x)):
            for name, number in zip(("start", "stride", "dilation", "limit"), numbers, strict=True):
                values[f"{axis}_{name}"] = number
        places = {"address_out": target}
        accesses = [access]
        if self.place is None:
            values["address_0"] = self.accumulator_element
        else:
            places["address_0"] = self.place
            assert self.source_access is not None, "an SRAM operand needs its access"
            accesses.append(self.source_access)
        for number, stream in enumerate(self.streams, 1):
            values |= {
                f"kind_{number}": int(stream.kind),
                f"strides_{number}": stream.strides,
                f"zero_{number}": stream.zero,
                f"scale_{number}": stream.scale,
            }
            places[f"address_{number}"] = stream.place
            accesses.append(stream.access)
        return Operation(
            Opcode.CHAIN, values, places, tuple(accesses), layer, accumulator_bank=accumulator_bank
        )


def plain_window(rows: int, columns: int, row_pitch: int, pixel_pitch: int) -> Window:
    """Operand 0 without padding: outer_1 counts rows, outer_0 columns."""
    return Window((0, 1, 0, rows), (0, 1, 0, columns), row_pitch, pixel_pitch)
