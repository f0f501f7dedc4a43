"""Compile a small model, run its bytes in the emulator, and hold every output against the two oracles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto
from qdq_models import random_feeds

from hanok.compiler.pipeline import compile_graph
from hanok.flows._tensors import dram_image, read_tensor, write_tensor
from hanok.graph import Graph, Operator, import_graph, run_onnxruntime, run_reference
from hanok.graph.oracle import reference_session, run_session
from hanok.isa import Binding, HostStage, Program
from hanok.machine import Chip
from hanok.simulator import Machine, simulate

CONTENT: dict[str, Any] = {
    "name": "odd",
    "clock_mhz": 300,
    "core": {
        "matrix": {"rows": 12, "columns": 7, "accumulator_rows": 23, "accumulator_banks": 3},
        "vector": {"lanes": 4, "stages": 3, "pipeline": {"dividers": 3, "batch": 16}},
        "sram": {"banks": 21, "bank_bytes": 576},
        "dma": {"bytes_per_cycle": 12, "outstanding": 3},
        "control": {"queue_depth": 3, "semaphore_limit": 5, "fetch_buffer_bytes": 512},
    },
    "memory": {"standard": "FLAT:700", "channels": 1, "capacity_mib": 16},
}
"""Every number odd and small: whatever is larger than a few hundred bytes is tiled."""


@cache
def chip(name: str) -> Chip:
    """A preset, or 'odd': a core so small that everything is cut, with an array that divides nothing.

    'odd packed' has a decoder that keeps ahead of its DRAM, 'odd wide' banks for rows of some 200 floats,
    'odd many' more banks.
    """
    match name:
        case "odd":
            return Chip.from_dict(CONTENT, "odd")
        case "odd wide":
            core = CONTENT["core"]
            return Chip.from_dict(
                CONTENT | {"core": core | {"sram": {"banks": 27, "bank_bytes": 1152}}}, "odd wide"
            )
        case "odd many":
            core = CONTENT["core"]
            return Chip.from_dict(
                CONTENT | {"core": core | {"sram": {"banks": 60, "bank_bytes": 576}}}, "odd many"
            )
        case "odd packed":
            core = CONTENT["core"]
            dma = core["dma"] | {"expand_lanes": 8}
            return Chip.from_dict(CONTENT | {"core": core | {"dma": dma}}, "odd packed")
    return Chip.load(name)


@dataclass(frozen=True)
class Found:
    """What a compiled model gave beside the oracles; differences are counted in stored steps."""

    graph: Graph
    program: Program
    feeds: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    reference_mismatches: int
    onnxruntime_mismatches: int
    onnxruntime_steps: int
    elements: int

    @property
    def on_host(self) -> list[str]:
        """The ONNX types of the operators that the host ran."""
        return [kind for _, kind in self.program.host_operators]


def run_program(
    program: Program,
    feeds: dict[str, np.ndarray],
    mode: Any = "fast",
    trap: bool = False,
    order: str = "program",
) -> dict[str, np.ndarray]:
    """Run every stage and read the outputs."""
    image = dram_image(program)
    bindings: dict[str, list[Binding]] = {}
    for binding in program.bindings:
        bindings.setdefault(binding.name, []).append(binding)
    known: dict[str, np.ndarray] = {}

    def write(name: str, value: np.ndarray) -> None:
        known[name] = value
        for binding in bindings.get(name, ()):
            write_tensor(image, binding, value)

    def read(name: str, dtype: str) -> np.ndarray:
        if name in known and str(known[name].dtype) == dtype:
            return known[name]
        return read_tensor(image, bindings[name][0], dtype)

    def host_value(name: str) -> np.ndarray:
        integer = name in known and known[name].dtype in (np.int8, np.uint8) and name in bindings
        return known[name] if name in known and not integer else read_tensor(image, bindings[name][0])

    for constant in program.constant_outputs:
        write(constant.name, np.asarray(constant.value))
    for name, value in feeds.items():
        write(name, value)
    for stage in program.stages:
        if isinstance(stage, HostStage):
            session = reference_session(stage.model)
            values = {name: host_value(name) for name in stage.inputs}
            for name, value in run_session(session, values, list(stage.outputs)).items():
                write(name, value)
        else:
            Machine(program.chip, image).run(stage.code, mode=mode, trap=trap, order=order)
    return {info.name: read(info.name, info.dtype) for info in program.outputs}


def steps_between(graph: Graph, name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Quantisation steps between two values of an output; 1000 for floats that no step explains."""
    assert first.shape == second.shape, name
    assert first.dtype == second.dtype, name
    if first.dtype.kind in "iu":
        return np.abs(first.astype(np.int64) - second.astype(np.int64))
    maker = graph.producers().get(name)
    if maker is not None and maker.operator is Operator.DEQUANTIZE:
        quantization = graph.tensor(maker.inputs[0]).quantization
        assert quantization is not None
        return np.rint(np.abs(first - second) / quantization.scalar_scale).astype(np.int64)
    return np.where(np.isclose(first, second, rtol=1e-4, atol=1e-5), 0, 1000)


def check(
    model: ModelProto,
    chip_name: str = "odd",
    seed: int = 0,
    mode: Any = "fast",
    trap: bool = False,
    order: str = "program",
    measured: bool = False,
) -> Found:
    """Compile for a chip, emulate, and count the differences to the reference and to ONNX Runtime.

    `measured`: the compiler tries its best plans on the cycle engine.
    """
    graph, target = import_graph(model), chip(chip_name)
    measure = (lambda code: simulate(code, target)) if measured else None
    program = compile_graph(graph, target, measure=measure)
    feeds = random_feeds(graph, seed)
    outputs = run_program(program, feeds, mode, trap, order)
    reference = run_reference(graph, feeds, lanes=target.core.vector.lanes)
    theirs = run_onnxruntime(model, feeds)
    reference_mismatches = mismatches = largest = elements = 0
    for name in graph.outputs:
        own = steps_between(graph, name, outputs[name], reference[name])
        other = steps_between(graph, name, outputs[name], theirs[name])
        reference_mismatches += int((own > 0).sum())
        mismatches += int((other > 0).sum())
        largest = max(largest, int(other.max(initial=0)))
        elements += own.size
    return Found(graph, program, feeds, outputs, reference_mismatches, mismatches, largest, elements)
