"""Properties of every compiled program: repeatable bytes, no transfer for free, no work for free."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled import chip
from operator_models import MODELS, build_model

from hanok.compiler.pipeline import compile_graph
from hanok.graph import ConvAttributes, Graph, MatMulAttributes, Operator, import_graph
from hanok.isa import Program, Unit, decode
from hanok.simulator import simulate

SOME = (
    "conv",
    "conv, grouped",
    "conv, depthwise",
    "residual",
    "moves",
    "resize",
    "softmax",
    "outputs in the middle",
)


def content_of(program: Program) -> bytes:
    """Everything that a chip sees, and where it lies."""
    code = b"".join(stage.code for stage in program.npu_stages)
    facts = (program.constants_address, program.dram_bytes, program.regions, program.bindings, program.layers)
    return code + program.constants + repr(facts).encode()


def digests() -> dict[str, str]:
    """A digest of each of SOME's programs for two chips."""
    return {
        f"{name}, {chip_name}": hashlib.sha256(
            content_of(compile_graph(import_graph(build_model(name, 1, False)), chip(chip_name)))
        ).hexdigest()
        for name in SOME
        for chip_name in ("odd", "u55-64")
    }


def test_the_same_bytes_twice_and_in_another_process() -> None:
    first = digests()
    assert digests() == first
    folders = [
        str(Path(__file__).parent),
        str(Path(__file__).parents[1] / "graph"),
        str(Path(__file__).parents[2]),
    ]
    script = (
        "import test_properties\nfor name, digest in test_properties.digests().items(): print(name, digest)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{name} {digest}" for name, digest in first.items()]


def macs_of(graph: Graph) -> int:
    """Multiply-accumulates of a graph by the definition of its operators."""
    total = 0
    for node in graph.nodes:
        if node.operator not in (Operator.CONV, Operator.CONV_TRANSPOSE, Operator.MATMUL):
            continue
        weights, output = graph.tensor(node.inputs[1]), graph.tensor(node.outputs[0])
        match node.attributes:
            case MatMulAttributes():
                total += output.elements * weights.shape[0]
            case ConvAttributes() if node.operator is Operator.CONV:
                total += output.elements * weights.elements // weights.shape[0]
            case ConvAttributes():
                total += graph.tensor(node.inputs[0]).elements * weights.elements // weights.shape[0]
    return total


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_free_and_nothing_is_absurd(name: str) -> None:
    """Bytes moved lie between the compulsory ones and what the smallest chip may need; so do busy cycles.

    The upper bound on bytes is 16 times the compulsory ones and a burst for each transfer: tiles overlap, and
    weights or activations are read again for each of a few chunks, even on a chip with 12 KB.
    """
    for chip_name in ("odd", "u55-64"):
        graph = import_graph(build_model(name, 1, False))
        program = compile_graph(graph, chip(chip_name))
        assert sum(layer.macs for layer in program.layers) == macs_of(graph)
        compulsory = sum(layer.compulsory_bytes for layer in program.layers)
        moved = transfers = busy = useful = 0
        for stage in program.npu_stages:
            timing = simulate(stage.code, program.chip, code_address=stage.code_address)
            decoded = decode(stage.code)
            moved += timing.load_bytes + timing.store_bytes
            transfers += int(np.isin(decoded.unit, (Unit.LOAD, Unit.STORE)).sum())
            busy += int(timing.causes[Unit.MATRIX, 0])
            useful += timing.macs
            assert timing.causes.sum(axis=1).tolist() == [timing.cycles] * len(Unit)
        assert moved >= compulsory, chip_name
        assert moved <= 16 * compulsory + 64 * transfers, chip_name
        assert busy * program.chip.core.matrix.macs >= useful, chip_name
