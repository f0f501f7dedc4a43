"""A writer of float ONNX graphs with seeded weights that keep every activation near unit variance."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10
RELU_MOMENT = 0.5
"""E[relu(x)^2] of a standard normal x."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Value:
    """A tensor of the graph being written; `moment` is the expected square of its elements."""

    name: str
    shape: tuple[int, ...]
    moment: float


class TopologyWriter:
    """Collects nodes and weights; every method adds one layer and returns its output.

    Convolutions followed by BatchNormalization carry He weights and running statistics that match the
    expected moments, as a trained network's do; other layers are scaled to unit output variance.
    """

    def __init__(self, name: str, seed: int, batch_norm: bool = True) -> None:
        self._name = name
        self._random = np.random.default_rng(seed)
        self._batch_norm = batch_norm
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """Declare a float32 graph input of unit variance."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Value(name, shape, 1.0)

    def model(self, output: Value) -> ModelProto:
        """Return the finished model with `output` as its only output, renamed 'output'."""
        self._nodes[-1].output[0] = "output"
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, output.shape)
        graph = helper.make_graph(self._nodes, self._name, self._inputs, [result], self._weights)
        return helper.make_model(
            graph,
            producer_name="hanok",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def convolution(
        self,
        x: Value,
        name: str,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        pads: tuple[int, int, int, int] | None = None,
        group: int = 1,
        gain: float = 1.0,
        normalise: bool = True,
    ) -> Value:
        """Conv, then BatchNormalization where the model has it; `gain` scales the output's deviation.

        `pads` (top, left, bottom, right) defaults to kernel // 2 all around.
        """
        kernel_h, kernel_w = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        stride_h, stride_w = stride if isinstance(stride, tuple) else (stride, stride)
        top, left, bottom, right = pads or (kernel_h // 2, kernel_w // 2, kernel_h // 2, kernel_w // 2)
        batch, in_channels, height, width = x.shape
        shape = (
            batch,
            channels,
            (height + top + bottom - kernel_h) // stride_h + 1,
            (width + left + right - kernel_w) // stride_w + 1,
        )
        fan_in = in_channels // group * kernel_h * kernel_w
        with_norm = self._batch_norm and normalise
        deviation = sqrt(2 / fan_in) if with_norm else gain / sqrt(fan_in * x.moment)
        weight = self._normal(f"{name}.weight", (channels, in_channels // group, kernel_h, kernel_w), deviation)
        inputs = [x.name, weight] if with_norm else [x.name, weight, self._bias(name, channels, 0.1 * gain)]
        y = self._node(
            "Conv",
            name,
            inputs,
            shape,
            1.01 * gain**2,
            kernel_shape=(kernel_h, kernel_w),
            strides=(stride_h, stride_w),
            pads=(top, left, bottom, right),
            group=group,
            dilations=(1, 1),
        )
        return self._normalise(y, f"{name}.bn", 2 * x.moment, gain) if with_norm else y

    def up_convolution(self, x: Value, name: str, channels: int, factor: int = 2) -> Value:
        """ConvTranspose with kernel and stride `factor`: each output pixel sees one input pixel."""
        batch, in_channels, height, width = x.shape
        weight_shape = (in_channels, channels, factor, factor)
        weight = self._normal(f"{name}.weight", weight_shape, 1 / sqrt(in_channels * x.moment))
        return self._node(
            "ConvTranspose",
            name,
            [x.name, weight, self._bias(name, channels, 0.1)],
            (batch, channels, height * factor, width * factor),
            1.01,
            kernel_shape=(factor, factor),
            strides=(factor, factor),
        )

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Gemm with weights [features, inputs] (transB = 1), as exporters write a linear layer."""
        batch, inputs = x.shape
        weight = self._normal(f"{name}.weight", (features, inputs), 1 / sqrt(inputs * x.moment))
        bias = self._bias(name, features, 0.1)
        return self._node("Gemm", name, [x.name, weight, bias], (batch, features), 1.01, transB=1)

    def relu(self, x: Value, name: str) -> Value:
        """Relu."""
        return self._node("Relu", name, [x.name], x.shape, x.moment * RELU_MOMENT)

    def relu6(self, x: Value, name: str) -> Value:
        """Clip to 0..6, its bounds shared by all such nodes."""
        bounds = [self._constant("relu6.min", np.float32(0)), self._constant("relu6.max", np.float32(6))]
        return self._node("Clip", name, [x.name, *bounds], x.shape, x.moment * RELU_MOMENT)

    def unary(self, x: Value, kind: str, name: str, moment_ratio: float) -> Value:
        """Any activation without attributes; `moment_ratio` is output over input moment."""
        return self._node(kind, name, [x.name], x.shape, x.moment * moment_ratio)

    def add(self, a: Value, b: Value, name: str) -> Value:
        """Sum of two values of one shape."""
        return self._node("Add", name, [a.name, b.name], a.shape, a.moment + b.moment)

    def scale_channels(self, x: Value, gate: Value, name: str) -> Value:
        """Multiply x [N,C,H,W] by a gate [N,C,1,1]."""
        return self._node("Mul", name, [x.name, gate.name], x.shape, x.moment * gate.moment)

    def concat(self, a: Value, b: Value, name: str) -> Value:
        """Join two images along their channels."""
        channels = a.shape[1] + b.shape[1]
        moment = (a.moment * a.shape[1] + b.moment * b.shape[1]) / channels
        return self._node("Concat", name, [a.name, b.name], (a.shape[0], channels, *a.shape[2:]), moment, axis=1)

    def max_pool(self, x: Value, name: str, kernel: int, stride: int, padding: int = 0) -> Value:
        """MaxPool with equal padding on all sides."""
        batch, channels, height, width = x.shape
        rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        return self._node(
            "MaxPool",
            name,
            [x.name],
            (batch, channels, rows, columns),
            2 * x.moment,
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=(padding,) * 4,
        )

    def global_average(self, x: Value, name: str, moment_ratio: float = 0.7) -> Value:
        """GlobalAveragePool; the mean of a rectified normal keeps about 2/pi of its moment."""
        return self._node("GlobalAveragePool", name, [x.name], (*x.shape[:2], 1, 1), moment_ratio * x.moment)

    def flatten(self, x: Value, name: str) -> Value:
        """Flatten everything after the batch."""
        return self._node("Flatten", name, [x.name], (x.shape[0], prod(x.shape[1:])), x.moment, axis=1)

    def softmax(self, x: Value, name: str) -> Value:
        """Softmax along the last axis."""
        return self._node("Softmax", name, [x.name], x.shape, 1 / x.shape[-1], axis=-1)

    def depth_to_space(self, x: Value, name: str, factor: int) -> Value:
        """DepthToSpace in CRD order, which is PyTorch's pixel shuffle."""
        batch, channels, height, width = x.shape
        shape = (batch, channels // factor**2, height * factor, width * factor)
        return self._node("DepthToSpace", name, [x.name], shape, x.moment, blocksize=factor, mode="CRD")

    def _normalise(self, x: Value, name: str, expected_variance: float, gain: float) -> Value:
        channels = x.shape[1]
        jitter = self._random.uniform(0.8, 1.25, (3, channels))
        shift = 0.1 * gain * self._random.standard_normal(channels)
        mean = 0.1 * sqrt(expected_variance) * self._random.standard_normal(channels)
        statistics = {
            "weight": gain * jitter[0],
            "bias": shift,
            "running_mean": mean,
            "running_var": expected_variance * jitter[1],
        }
        weights = [self._constant(f"{name}.{key}", value) for key, value in statistics.items()]
        return self._node("BatchNormalization", name, [x.name, *weights], x.shape, 1.05 * gain**2, epsilon=1e-5)

    def _normal(self, name: str, shape: tuple[int, ...], deviation: float) -> str:
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        return self._constant(name, values)

    def _bias(self, name: str, channels: int, deviation: float) -> str:
        return self._normal(f"{name}.bias", (channels,), deviation)

    def _constant(self, name: str, value: npt.ArrayLike) -> str:
        if all(weight.name != name for weight in self._weights):
            self._weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def _node(
        self,
        kind: str,
        name: str,
        inputs: list[str],
        shape: tuple[int, ...],
        moment: float,
        **attributes: Any,  # ONNX attributes, passed on to onnx.helper
    ) -> Value:
        output = f"{name}.out"
        self._nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return Value(output, shape, moment)
