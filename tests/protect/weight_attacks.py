"""What is done to a leaked model's int8 weights to wash marks out, and a model of known shape to do it to."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VOICE = Path(str(resources.files("hanok") / "assets" / "korean_commands.onnx"))
Alter = Callable[[str, np.ndarray], np.ndarray]


def int8_weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float64)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) >= 2
    }


def altered(model: onnx.ModelProto, alter: Alter) -> onnx.ModelProto:
    """A copy whose int8 weights are changed, rounded and saturated."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) >= 2:
            changed = alter(tensor.name, numpy_helper.to_array(tensor).astype(np.float64))
            whole = np.clip(np.rint(changed), -127, 127).astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(whole, tensor.name))
    return copy


def noisy(model: onnx.ModelProto, steps: float, seed: int) -> onnx.ModelProto:
    random = np.random.default_rng(seed)
    return altered(model, lambda _, w: w + random.normal(0, steps, w.shape))


def pruned(model: onnx.ModelProto, share: float) -> onnx.ModelProto:
    return altered(model, lambda _, w: np.where(np.abs(w) > np.quantile(np.abs(w), share), w, 0))


def requantised(model: onnx.ModelProto, levels: int, spread: bool) -> onnx.ModelProto:
    """Weights of 2 * levels + 1 values a channel; `spread`: on the old scale, else as the small numbers."""

    def alter(_: str, weights: np.ndarray) -> np.ndarray:
        largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
        step = np.maximum(largest, 1) / levels
        small = np.rint(weights / step)
        return small * step if spread else small

    return altered(model, alter)


def averaged(models: list[onnx.ModelProto]) -> onnx.ModelProto:
    every = [int8_weights(model) for model in models]
    return altered(models[0], lambda name, _: np.mean([weights[name] for weights in every], axis=0))


def mixed(models: list[onnx.ModelProto], seed: int) -> onnx.ModelProto:
    """Each weight of one of the copies."""
    random = np.random.default_rng(seed)
    every = [int8_weights(model) for model in models]

    def alter(name: str, weights: np.ndarray) -> np.ndarray:
        stack = np.stack([each[name] for each in every])
        return np.take_along_axis(stack, random.integers(0, len(every), (1, *weights.shape)), 0)[0]

    return altered(models[0], alter)


def permuted_voice(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The voice recogniser with the channels between its layers in another order: the same function."""
    random = np.random.default_rng(seed)
    orders = {0: random.permutation(32)} | {layer: random.permutation(96) for layer in (2, 4, 6, 8)}
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name.startswith("linear.weight_quantized"):
            values = values[:, orders[8]]
        elif tensor.name.startswith("conv") and values.ndim:
            layer = int(tensor.name[4])
            values = values[orders[layer - layer % 2]]
            if values.ndim == 4 and values.shape[1] > 1:
                values = values[:, orders[layer - 2]]
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
    return copy


def rescaled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Channels scaled anew, on both sides of a weight."""
    random = np.random.default_rng(seed)

    def alter(_: str, weights: np.ndarray) -> np.ndarray:
        factors = random.uniform(0.6, 0.95, (len(weights), weights.shape[1]))
        outputs, inputs = factors[:, :1], factors[:1]
        return weights * (outputs * inputs).reshape(*factors.shape, *[1] * (weights.ndim - 2))

    return altered(model, alter)


def in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights as float32 under other names, matrices turned round, in another order: only a file to read."""
    random = np.random.default_rng(4)
    tensors = []
    for number, (_, weights) in enumerate(int8_weights(model).items()):
        scale = random.uniform(0.001, 0.02, (len(weights), *[1] * (weights.ndim - 1)))
        values = (weights * scale).astype(np.float32)
        turned = values.T if values.ndim == 2 else values
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(turned), f"w{number}"))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1,))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1,))
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "leak", [value], [output], tensors[::-1])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def small_model(weights: int, folder: Path, external: bool = False) -> Path:
    """A MatMul of `weights` int8 weights behind a DequantizeLinear, [32, weights / 32] in the file."""
    random = np.random.default_rng(1)
    values = random.integers(-127, 128, (32, weights // 32)).astype(np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "scale"], ["wide"], "widen"),
            helper.make_node("MatMul", ["x", "wide"], ["y"], "product"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, weights // 32))],
        [numpy_helper.from_array(values, "w"), numpy_helper.from_array(np.float32(0.01), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "model.onnx"
    if external:
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    else:
        onnx.save(model, path)
    return path
