"""Small programs written by hand, so that flows are tested without the compiler."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hanok.isa import (
    Binding,
    HostStage,
    Layer,
    NpuStage,
    Program,
    Region,
    RegionKind,
    ValueInfo,
    assemble,
)
from hanok.machine import Chip

SHAPE = (1, 4, 16)
SCALE, ZERO = 0.5, 3


def _copy_code(source: int, target: int) -> bytes:
    counts = "sram_address=0 count_3=1 count_2=1 count_1=1"
    return assemble(f"load post=store run_bytes=64 dram_address={source} {counts}") + assemble(
        f"store wait=load run_bytes=64 dram_address={target} {counts}"
    )


def _stage(address: int, source: int, target: int, layer: int) -> NpuStage:
    return NpuStage(_copy_code(source, target), address, np.full(2, layer, np.int32))


def _binding(name: str, address: int) -> Binding:
    return Binding(name, SHAPE, (0, 2, 1), address, SCALE, ZERO)


def _model(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "model", value[:1], value[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def quantise_dequantise(name: str, output: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [output]),
    ]


def parameters() -> list[onnx.TensorProto]:
    return [
        helper.make_tensor("scale", TensorProto.FLOAT, (), [SCALE]),
        helper.make_tensor("zero", TensorProto.INT8, (), [ZERO]),
    ]


@pytest.fixture(scope="session")
def copy_program() -> Program:
    """y = x through int8, on the NPU alone."""
    return Program(
        name="copy",
        chip=Chip.load("nano"),
        stages=(_stage(0, 4096, 8192, 0),),
        constants=b"",
        constants_address=2048,
        dram_bytes=16384,
        regions=(
            Region("code", RegionKind.CODE, 0, 128),
            Region("x", RegionKind.ACTIVATION, 4096, 64),
            Region("y", RegionKind.ACTIVATION, 8192, 64),
        ),
        bindings=(_binding("x", 4096), _binding("y", 8192)),
        layers=(Layer("copy", "Identity", ("node",), 0, SHAPE, 128, "64 bytes"),),
        inputs=(ValueInfo("x", "float32", SHAPE),),
        outputs=(ValueInfo("y", "float32", SHAPE),),
        source_model=_model(quantise_dequantise("x", "y"), parameters()),
    )


@pytest.fixture(scope="session")
def host_program() -> Program:
    """y = round trip of exp(round trip of x): NPU, host, NPU."""
    host_input = helper.make_tensor_value_info("a", TensorProto.FLOAT, SHAPE)
    host_output = helper.make_tensor_value_info("b", TensorProto.FLOAT, SHAPE)
    graph = helper.make_graph(
        [helper.make_node("Exp", ["a"], ["b"], "exp_node")], "host", [host_input], [host_output]
    )
    host = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    nodes = [
        *quantise_dequantise("x", "a"),
        helper.make_node("Exp", ["a"], ["b"]),
        *quantise_dequantise("b", "y"),
    ]
    names = ("x", "a", "b", "y")
    bindings = tuple(_binding(name, 4096 * (number + 1)) for number, name in enumerate(names))
    return Program(
        name="host",
        chip=Chip.load("nano"),
        stages=(
            _stage(0, 4096, 8192, 0),
            HostStage(host.SerializeToString(), ("a",), ("b",), (("exp_node", "Exp"),), "no table"),
            _stage(128, 12288, 16384, 1),
        ),
        constants=b"",
        constants_address=2048,
        dram_bytes=32768,
        regions=(Region("code", RegionKind.CODE, 0, 256),),
        bindings=bindings,
        layers=(
            Layer("first", "Identity", ("n0",), 0, SHAPE, 128),
            Layer("second", "Identity", ("n1",), 0, SHAPE, 128),
        ),
        inputs=(ValueInfo("x", "float32", SHAPE),),
        outputs=(ValueInfo("y", "float32", SHAPE),),
        source_model=_model(nodes, parameters()),
    )
