"""The stepwise path against oracles that share no code with it: Python integers, ONNX Runtime, the text."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from emulator_streams import DRAM_BYTES, random_matrix, random_memory, small_chip
from emulator_streams import is_legal as legal
from onnx import helper

from hanok.isa import Opcode, Step, decode, encode
from hanok.isa.table import FLAG_COLUMNS
from hanok.simulator import Machine


def machine_with(chip, sram: np.ndarray) -> Machine:
    machine = Machine(chip, np.zeros(DRAM_BYTES, np.uint8))
    machine.memories.sram[: sram.size] = sram.view(np.uint8).reshape(-1)
    return machine


def python_sums(chip, machine, record) -> dict[tuple[int, int], int]:
    """The table's text with Python integers, one byte at a time."""
    sram, columns = machine.memories.sram.view(np.int8), chip.core.matrix.columns
    field = {name: int(record[name]) for name in record.dtype.names}
    depthwise = field["opcode"] == Opcode.DEPTHWISE
    sums = {}
    weight = field["weight_address"]
    for n in range(field["blocks"]):
        used = columns if n < field["blocks"] - 1 else field["last_columns"]
        taps = [
            (ty, tx, j)
            for ty in range(field["taps_y"])
            for tx in range(field["taps_x"])
            for j in range(field["tap_bytes"])
        ]
        for oy in range(field["out_height"]):
            for ox in range(field["out_width"]):
                row = field["accumulator_row"] + (n * field["out_height"] + oy) * field["out_width"] + ox
                for c in range(used):
                    total = 0
                    if field["flags"] & 2:
                        total = int(machine.memories.accumulators[row, c])
                    if field["flags"] & 1:
                        address = field["bias_address"] + 4 * (n * columns + c)
                        total = int.from_bytes(sram[address : address + 4].tobytes(), "little", signed=True)
                    for number, (ty, tx, j) in enumerate(taps):
                        y = field["y_start"] + oy * field["y_stride"] + ty * field["y_dilation"]
                        x = (
                            field["x_start"]
                            + ox * field["x_stride"]
                            + tx * field["x_tap"]
                            + n * field["x_block"]
                        )
                        x += c if depthwise else j
                        slot = (y + field["ring_start"]) % field["ring_rows"] if field["ring_rows"] else y
                        inside = 0 <= y < field["y_limit"] and 0 <= x < field["x_limit"]
                        address = field["activation_address"] + slot * field["row_pitch"] + x
                        byte = int(sram[address]) if inside else field["pad"]
                        place = weight + number * used + c
                        if field["flags"] & 4:
                            first = (n * columns + c) * field["weight_pitch"]
                            place = field["weight_address"] + first + number
                        total += byte * int(sram[place])
                    sums[row, c] = (total + (1 << 31)) % (1 << 32) - (1 << 31)
        weight += len(taps) * used
    return sums


@pytest.mark.parametrize("seed", range(25))
def test_matrix_matches_python_integers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chip = small_chip()
    machine = Machine(chip, random_memory(rng))
    machine.memories.sram[:] = random_memory(rng)[: machine.memories.sram.size]
    machine.memories.accumulators[:] = rng.integers(-(1 << 31), 1 << 31, machine.memories.accumulators.shape)
    code = random_matrix(rng, chip)
    while not legal(code, chip):
        code = random_matrix(rng, chip)
    expected = machine.memories.accumulators.copy()
    for place, value in python_sums(chip, machine, decode(code).record(0)).items():
        expected[place] = value
    machine.run(code, mode="stepwise")
    assert np.array_equal(machine.memories.accumulators, expected)


@pytest.mark.parametrize("mode", ["stepwise", "fast"])
@pytest.mark.parametrize(("tokens", "depth"), [(5, 3), (21, 16), (40, 33)])
def test_scores_of_queries_and_keys_are_numpys(mode: str, tokens: int, depth: int) -> None:
    """Keys lie as they were made, a token after the other, of two heads: scores of the second head."""
    rng = np.random.default_rng(tokens)
    queries, keys = rng.integers(-128, 128, (2, tokens, 2 * depth)).astype(np.int8)
    chip = small_chip(rows=8, columns=8)
    sram = np.concatenate([queries.reshape(-1), keys.reshape(-1)])
    blocks = -(-tokens // 8)
    code = encode(
        Opcode.CONV,
        {
            "flags": FLAG_COLUMNS, "row_pitch": 2 * depth, "y_stride": 1, "y_limit": tokens,
            "x_start": depth, "x_limit": 2 * depth, "out_height": tokens, "out_width": 1, "taps_y": 1,
            "taps_x": 1, "tap_bytes": depth, "blocks": blocks, "last_columns": tokens - 8 * (blocks - 1),
            "weight_address": queries.size + depth, "weight_pitch": 2 * depth,
        },
    )  # fmt: skip
    machine = machine_with(chip, sram)
    machine.run(code, mode=mode)
    sums = machine.memories.accumulators[: blocks * tokens].reshape(blocks, tokens, 8)
    scores = sums.transpose(1, 0, 2).reshape(tokens, -1)[:, :tokens]
    assert np.array_equal(scores, queries[:, depth:].astype(int) @ keys[:, depth:].astype(int).T)


@pytest.mark.parametrize("mode", ["stepwise", "fast"])
def test_convolution_layer_matches_onnx_runtime(mode: str) -> None:
    """A 3x3 padded, strided convolution with requantisation, bit for bit QLinearConv."""
    rng = np.random.default_rng(5)
    height, width, channels, outputs = 9, 7, 5, 11
    image = rng.integers(-128, 128, (height, width, channels)).astype(np.int8)
    weights = rng.integers(-127, 128, (outputs, channels, 3, 3)).astype(np.int8)
    bias = rng.integers(-5000, 5000, outputs).astype(np.int32)
    input_scale, output_scale, zero_in, zero_out = np.float32(0.031), np.float32(0.77), 3, -7
    weight_scale = rng.uniform(0.001, 0.1, outputs).astype(np.float32)
    expected = onnx_runtime_convolution(
        image, weights, bias, input_scale, zero_in, weight_scale, output_scale, zero_out
    )
    chip = small_chip(rows=8, columns=8)
    out_height, out_width = expected.shape[:2]
    kernel = weights.transpose(2, 3, 1, 0).reshape(-1, outputs)
    folded = bias - zero_in * kernel.astype(np.int32).sum(axis=0)
    tiles = np.concatenate([kernel[:, :8].reshape(-1), kernel[:, 8:].reshape(-1)])
    multiplier = (input_scale * weight_scale) / output_scale
    sram = np.zeros(8192, np.uint8)
    for address, part in ((0, image), (1024, tiles), (2048, folded.astype(np.int32)), (2304, multiplier)):
        sram[address : address + part.nbytes] = part.view(np.uint8).reshape(-1)
    code = encode(
        Opcode.CONV,
        {
            "flags": 1, "activation_address": 0, "row_pitch": width * channels,
            "y_start": -1, "y_stride": 2, "y_dilation": 1, "y_limit": height,
            "x_start": -channels, "x_stride": 2 * channels, "x_tap": channels, "x_limit": width * channels,
            "out_height": out_height, "out_width": out_width, "taps_y": 3, "taps_x": 3, "tap_bytes": channels,
            "blocks": 2, "last_columns": 3, "weight_address": 1024, "bias_address": 2048, "pad": zero_in,
        },
    )  # fmt: skip
    positions = out_height * out_width
    for block, used in ((0, 8), (1, 3)):
        code += encode(
            Opcode.CHAIN,
            {
                "outer_2": 1, "outer_1": out_height, "outer_0": out_width, "reduce_1": 1, "reduce_0": 1,
                "inner": used, "steps": 1, "kind_0": 1, "kind_1": 4, "kind_out": 2, "scale_0": 1.0,
                "scale_1": 1.0, "address_0": block * positions * 8, "row_pitch": out_width * 8,
                "pixel_pitch": 8,
                "stride_inner": 1, "y_stride": 1, "y_limit": out_height, "x_stride": 1, "x_limit": out_width,
                "address_1": 2304 + 32 * block, "strides_1": [0, 0, 0, 4],
                "address_out": 4096 + 8 * block, "strides_out": [0, out_width * outputs, outputs, 1],
                "zero_out": zero_out, "low_out": -128, "high_out": 127,
                "step": [Step.MUL] + [0] * 7, "operand": [1] + [0] * 7,
            },
        )  # fmt: skip
    machine = machine_with(chip, sram)
    machine.run(code, mode=mode)
    result = machine.memories.sram[4096 : 4096 + expected.size].view(np.int8).reshape(expected.shape)
    assert np.array_equal(result, expected)


def onnx_runtime_convolution(
    image, weights, bias, input_scale, zero_in, weight_scale, output_scale, zero_out
):
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b"]
    values = [
        image.transpose(2, 0, 1)[None], input_scale, np.int8(zero_in), weights, weight_scale,
        np.zeros(len(bias), np.int8), output_scale, np.int8(zero_out), bias,
    ]  # fmt: skip
    node = helper.make_node("QLinearConv", names, ["y"], pads=[1, 1, 1, 1], strides=[2, 2])
    initializers = [
        onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names[1:], values[1:], strict=True)
    ]
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.INT8, values[0].shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT8, None)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values[0]})[0][0].transpose(1, 2, 0)
