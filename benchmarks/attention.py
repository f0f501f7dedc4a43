"""Attention in blocks of rows that stay in SRAM, against the same attention made whole.

`python benchmarks/attention.py [--chip edge] [HEADS ROWS LENGTH SIZE]`: queries [HEADS, ROWS, SIZE], keys and
values [HEADS, LENGTH, SIZE], a causal mask, seeded random data. Both give the same bits.
"""

from __future__ import annotations

import argparse

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import hanok.compiler.pipeline
from hanok.flows import compile_model, run_program
from hanok.machine import Chip

SHAPE = (8, 1024, 512, 128)


def attention(heads: int, rows: int, length: int, size: int) -> bytes:
    """A float model: scores, mask, softmax, product with the values."""
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["chances"], axis=-1),
        helper.make_node("MatMul", ["chances", "v"], ["o"]),
    ]
    shapes = {"q": (heads, rows, size), "k": (heads, size, length), "v": (heads, length, size)}
    shapes["mask"] = (1, rows, length)
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, (heads, rows, size))],
        [numpy_helper.from_array(np.float32(size**-0.5), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="*", type=int, default=list(SHAPE), metavar="N")
    parser.add_argument("--chip", default="edge")
    options = parser.parse_args()
    heads, rows, length, size = options.shape
    random = np.random.default_rng(0)
    values = {
        name: random.normal(0, 1, shape).astype(np.float32)
        for name, shape in (
            ("q", (heads, rows, size)),
            ("k", (heads, size, length)),
            ("v", (heads, length, size)),
        )
    }
    seen = np.arange(length) <= np.arange(rows)[:, None] * length // rows
    values["mask"] = np.where(seen, np.float32(0), np.float32(-1e4))[None]
    outputs = []
    for how in ("in blocks", "whole"):
        if how == "whole":
            hanok.compiler.pipeline.split_rows = lambda graph, _chip: graph
        program = compile_model(
            attention(heads, rows, length, size), Chip.load(options.chip), calibration=[values], no_host=True
        )
        result = run_program(program, values, check=False)
        record = result.record
        busy = {unit.unit: unit.busy for unit in record.units}
        outputs.append(result.outputs["o"])
        print(
            f"{how:9}: {record.cycles:,} cycles, {record.dram_read_bytes:,} bytes read, "
            f"{record.dram_write_bytes:,} written; vector unit busy {busy['vector']:,}, "
            f"array {busy['matrix']:,}"
        )
    print("the same bits" if np.array_equal(*outputs) else "DIFFERENT BITS")


if __name__ == "__main__":
    main()
