"""A writer of float ONNX graphs whose seeded weights are fitted, layer by layer, to a random probe."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10
PROBE_ELEMENTS = 150_000
"""As many random inputs run through the network while it is written as hold this many elements ..."""
PROBES_RANGE = (2, 64)
"""... within these bounds; at least two, so that outputs can differ."""
FEW_SAMPLES = 64
"""A channel with fewer elements than this is not centred: its mean over the probes says little."""
SMALLEST_VARIANCE_SHARE = 0.1
"""A channel's running variance is at least this share of its layer's mean variance."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Value:
    """A tensor of the graph being written, and what it holds when the probes run."""

    name: str
    probe: FloatArray

    @property
    def channels(self) -> int:
        """The size of axis 1."""
        return int(self.probe.shape[1])


class TopologyWriter:
    """Collects nodes and weights; every method adds one layer and returns its output.

    Every node is run on the probes as it is added. Running statistics of BatchNormalization are measured
    there, and layers without it are scaled to unit deviation and centred by their bias; so, as in a trained
    network, activations stay in range at any depth and outputs depend on inputs. Measured figures are
    rounded to half precision, which hides the last bits in which processors differ.
    """

    def __init__(self, name: str, seed: int, *, batch: int = 1, batch_norm: bool = True) -> None:
        self._name = name
        self._random = np.random.default_rng(seed)
        self._batch = batch
        self._batch_norm = batch_norm
        self._nodes: list[NodeProto] = []
        self._weights: dict[str, FloatArray] = {}
        self._inputs: list[Any] = []

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """Declare a float32 graph input of zero mean and unit variance; `shape` is without the batch."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (self._batch, *shape)))
        probes = int(np.clip(PROBE_ELEMENTS // prod(shape), *PROBES_RANGE))
        return Value(name, self._normal((probes, *shape)))

    def model(self, output: Value) -> ModelProto:
        """Return the finished model; `output` becomes its only output, named 'output'."""
        self._nodes[-1].output[0] = "output"
        shape = (self._batch, *output.probe.shape[1:])
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
        weights = [numpy_helper.from_array(value, name) for name, value in self._weights.items()]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, [result], weights)
        return _model(graph)

    def convolution(
        self,
        x: Value,
        name: str,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        pads: tuple[int, int, int, int] | None = None,
        group: int = 1,
        gain: float = 1.0,
        normalise: bool = True,
    ) -> Value:
        """Conv, then BatchNormalization where the model has it; `gain` is the output's deviation.

        `pads` (top, left, bottom, right) defaults to kernel // 2 all around.
        """
        kernel_h, kernel_w = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        attributes = {
            "kernel_shape": (kernel_h, kernel_w),
            "strides": stride if isinstance(stride, tuple) else (stride, stride),
            "pads": pads or (kernel_h // 2, kernel_w // 2) * 2,
            "group": group,
            "dilations": (1, 1),
        }
        shape = (channels, x.channels // group, kernel_h, kernel_w)
        weight = self._normal(shape) * np.float32(sqrt(2 / prod(shape[1:])))
        if not (self._batch_norm and normalise):
            return self._fitted(
                "Conv", name, x, weight=weight, channels=channels, gain=gain, attributes=attributes
            )
        y = self._node("Conv", name, [x], {f"{name}.weight": weight}, attributes)
        return self._normalised(y, f"{name}.bn", gain)

    def up_convolution(self, x: Value, name: str, channels: int, factor: int = 2) -> Value:
        """ConvTranspose with kernel and stride `factor`: each output pixel sees one input pixel."""
        weight = self._normal((x.channels, channels, factor, factor))
        attributes = {"kernel_shape": (factor, factor), "strides": (factor, factor)}
        return self._fitted(
            "ConvTranspose", name, x, weight=weight, channels=channels, gain=1.0, attributes=attributes
        )

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Gemm with weights [features, inputs] (transB = 1), as exporters write a linear layer."""
        weight = self._normal((features, x.channels))
        return self._fitted(
            "Gemm", name, x, weight=weight, channels=features, gain=1.0, attributes={"transB": 1}
        )

    def relu(self, x: Value, name: str) -> Value:
        """Relu."""
        return self._node("Relu", name, [x])

    def relu6(self, x: Value, name: str) -> Value:
        """Clip to 0..6, its bounds shared by all such nodes."""
        bounds = {"relu6.min": np.array(0, np.float32), "relu6.max": np.array(6, np.float32)}
        return self._node("Clip", name, [x], bounds)

    def tanh(self, x: Value, name: str) -> Value:
        """Tanh."""
        return self._node("Tanh", name, [x])

    def hard_sigmoid(self, x: Value, name: str) -> Value:
        """HardSigmoid with slope 1/6, as MobileNet V3 has it."""
        return self._node("HardSigmoid", name, [x], attributes={"alpha": 1 / 6, "beta": 0.5})

    def hard_swish(self, x: Value, name: str) -> Value:
        """HardSwish."""
        return self._node("HardSwish", name, [x])

    def add(self, a: Value, b: Value, name: str) -> Value:
        """Sum of two values of one shape."""
        return self._node("Add", name, [a, b])

    def multiply(self, x: Value, gate: Value, name: str) -> Value:
        """Product of x [N,C,H,W] and a gate [N,C,1,1]."""
        return self._node("Mul", name, [x, gate])

    def concat(self, a: Value, b: Value, name: str) -> Value:
        """Join two images along their channels."""
        return self._node("Concat", name, [a, b], attributes={"axis": 1})

    def max_pool(self, x: Value, name: str, kernel: int, stride: int, padding: int = 0) -> Value:
        """MaxPool with equal padding on all sides."""
        attributes = {"kernel_shape": (kernel, kernel), "strides": (stride, stride), "pads": (padding,) * 4}
        return self._node("MaxPool", name, [x], attributes=attributes)

    def global_average(self, x: Value, name: str) -> Value:
        """GlobalAveragePool."""
        return self._node("GlobalAveragePool", name, [x])

    def flatten(self, x: Value, name: str) -> Value:
        """Flatten everything after the batch."""
        return self._node("Flatten", name, [x], attributes={"axis": 1})

    def softmax(self, x: Value, name: str) -> Value:
        """Softmax along the last axis."""
        return self._node("Softmax", name, [x], attributes={"axis": -1})

    def depth_to_space(self, x: Value, name: str, factor: int) -> Value:
        """DepthToSpace in CRD order, which is PyTorch's pixel shuffle."""
        return self._node("DepthToSpace", name, [x], attributes={"blocksize": factor, "mode": "CRD"})

    def _fitted(
        self,
        kind: str,
        name: str,
        x: Value,
        *,
        weight: FloatArray,
        channels: int,
        gain: float,
        attributes: dict[str, Any],
    ) -> Value:
        """Add a layer with weight and bias, scaled to deviation `gain` and nearly zero channel means."""
        raw = _run(helper.make_node(kind, ["x", "w"], ["y"], **attributes), [x.probe, weight])
        mean, variance = _channel_statistics(raw)
        if raw.size // channels < FEW_SAMPLES:
            mean, variance = np.zeros_like(mean), np.square(raw)
        factor = _rounded(gain / np.sqrt(variance.mean() + np.finfo(np.float32).tiny))
        bias = np.float32(0.1 * gain) * self._normal((channels,)) - _rounded(mean * factor)
        weights = {f"{name}.weight": weight * factor, f"{name}.bias": bias}
        return self._node(kind, name, [x], weights, attributes)

    def _normalised(self, x: Value, name: str, gain: float) -> Value:
        mean, variance = _channel_statistics(x.probe)
        variance = np.maximum(variance, SMALLEST_VARIANCE_SHARE * variance.mean())
        weights = {
            f"{name}.weight": np.float32(gain)
            * self._random.uniform(0.8, 1.25, x.channels).astype(np.float32),
            f"{name}.bias": np.float32(0.1 * gain) * self._normal((x.channels,)),
            f"{name}.running_mean": _rounded(mean),
            f"{name}.running_var": _rounded(variance),
        }
        return self._node("BatchNormalization", name, [x], weights, {"epsilon": 1e-5})

    def _normal(self, shape: tuple[int, ...]) -> FloatArray:
        return self._random.standard_normal(shape, dtype=np.float32)

    def _node(
        self,
        kind: str,
        name: str,
        inputs: list[Value],
        weights: dict[str, FloatArray] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> Value:
        weights = weights or {}
        names = [*(value.name for value in inputs), *weights]
        node = helper.make_node(kind, names, [f"{name}.out"], name=name, **(attributes or {}))
        self._nodes.append(node)
        self._weights.update(weights)
        return Value(f"{name}.out", _run(node, [*(value.probe for value in inputs), *weights.values()]))


def _model(graph: Any) -> ModelProto:
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, producer_name="hanok", ir_version=IR_VERSION, opset_imports=[opset])


def _run(node: NodeProto, operands: list[FloatArray]) -> FloatArray:
    """Run one node; one thread, so that sums have one order."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        for name, value in zip(node.input, operands, strict=True)
    ]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = _model(helper.make_graph([node], "node", inputs, [output]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    result: FloatArray = session.run(None, dict(zip(node.input, operands, strict=True)))[0]
    return result


def _channel_statistics(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each channel (axis 1) over the probes and the image."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    return values.mean(axes), values.var(axes)


def _rounded(values: npt.ArrayLike) -> FloatArray:
    """`values` with the precision (not the range) of float16: 11 significant bits."""
    fraction, exponent = np.frexp(np.asarray(values, np.float32))
    return np.ldexp(np.round(fraction * 2048) / np.float32(2048), exponent).astype(np.float32)
