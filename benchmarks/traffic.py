"""Nothing is free: bytes moved against the bytes that must move, and busy cycles against the work.

`python benchmarks/traffic.py [NAME ...]`; without names: every topology, on three chips. The same bounds
are assertions in tests/flows/test_nothing_is_free.py, for small models. Columns, all as ratios:

read: bytes that LOAD brought, by the weights and the input of the ONNX model, each once
moved: bytes both ways, by what the compiler counts as compulsory after fusion and residency
code: bytes of instructions that were fetched, by all bytes that were moved
matrix: busy cycles of the array, by its MACs at full use
vector: busy cycles of the vector unit, by one pass over the elements that all layers make
"""

from __future__ import annotations

import sys
from math import prod

import onnx
from models import BUILDERS, int8_model
from onnx import numpy_helper
from table import print_table

from hanok.flows.compile_and_run import compile_model
from hanok.isa import Program, Unit
from hanok.machine import Chip
from hanok.simulator.engine import simulate

CHIPS = ("nano", "edge", "hbm2-128")
HEADINGS = ("model on chip", "least MB", "read", "moved", "code", "matrix", "vector")


def least_bytes(program: Program) -> int:
    """int8 weights and inputs of the quantised ONNX model."""
    model = onnx.load_from_string(program.source_model)
    constants = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    weights = sum(values.size for values in constants if values.itemsize == 1 and values.ndim > 1)
    return weights + sum(prod(value.shape) for value in program.inputs)


def row(name: str, chip: Chip) -> tuple[str, ...]:
    """One model on one chip."""
    program = compile_model(int8_model(name), chip)
    timings = [simulate(stage.code, chip, code_address=stage.code_address) for stage in program.npu_stages]
    least = least_bytes(program)
    loaded = sum(timing.load_bytes for timing in timings)
    moved = loaded + sum(timing.store_bytes for timing in timings)
    code = sum(timing.fetch_bytes for timing in timings)
    busy = {
        unit: sum(int(timing.active_cycles_of[timing.unit == unit].sum()) for timing in timings)
        for unit in Unit
    }
    macs = sum(layer.macs for layer in program.layers)
    elements = sum(prod(layer.output_shape) for layer in program.layers)
    return (
        f"{name} on {chip.name}",
        f"{least / 1e6:.2f}",
        f"{loaded / least:.2f}",
        f"{moved / sum(layer.compulsory_bytes for layer in program.layers):.2f}",
        f"{code / (code + moved):.2f}",
        f"{busy[Unit.MATRIX] * chip.core.matrix.macs / macs:.2f}",
        f"{busy[Unit.VECTOR] * chip.core.vector.lanes / elements:.2f}",
    )


def main() -> None:
    """Print a row for each model and chip."""
    names = sys.argv[1:] or sorted(BUILDERS)
    print_table(HEADINGS, (row(name, Chip.load(chip)) for name in names for chip in CHIPS))


if __name__ == "__main__":
    main()
