"""Weights in a model's file: int8 ones are read and replaced with nothing else changed, others only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper

from hanok.errors import ModelError
from hanok.graph._external import load_external
from hanok.graph.load import load_model

_READABLE = (TensorProto.INT8, TensorProto.UINT8, TensorProto.FLOAT, TensorProto.INT4)
_KERNELS = {"Conv": 1, "ConvTranspose": 1, "QLinearConv": 3, "ConvInteger": 1}
_MATRICES = {"Gemm": 1, "MatMul": 1, "QLinearMatMul": 3, "MatMulInteger": 1}
_LARGEST = 1e15
"""Of a number that is taken for a weight; others, and what is no number, are read as 0."""
_THROUGH = ("DequantizeLinear", "Cast", "Identity")


@dataclass(frozen=True)
class WeightTensor:
    """A weight with two axes or more.

    values: int8, or float64 where the file holds another type; the first axis is that of output channels,
    the second that of input channels, whatever the order in the file.
    """

    name: str
    values: npt.NDArray[np.int8] | npt.NDArray[np.float64]

    @property
    def is_int8(self) -> bool:
        """Whether the file holds int8."""
        return self.values.dtype == np.int8


def read_weights(path: Path) -> tuple[WeightTensor, ...]:
    """Return the weights of a checked model, in the order of the file."""
    model = _read(path)
    axes = _channel_axes(model)
    return tuple(
        WeightTensor(tensor.name, np.moveaxis(_values(tensor), axes.get(tensor.name, 0), 0))
        for tensor in model.graph.initializer
        if len(tensor.dims) >= 2 and tensor.data_type in _READABLE
    )


def replace_weights(path: Path, values: Mapping[str, npt.NDArray[np.int8]]) -> dict[str, bytes]:
    """Return the model's files, by their name beside it, with int8 weights replaced by those of their name.

    values: in the order of axes that `read_weights` gives. Bytes of external data stay where they are.
    """
    model = _read(path)
    axes = _channel_axes(model)
    kept = ModelProto.FromString(path.read_bytes())
    files: dict[str, bytearray] = {}
    for tensor in kept.graph.initializer:
        external = tensor.data_location == TensorProto.EXTERNAL
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = entries.get("location", "")
        if external and place not in files:
            files[place] = bytearray((path.parent / place).read_bytes())
        if tensor.name not in values:
            continue
        content = np.moveaxis(values[tensor.name], 0, axes.get(tensor.name, 0)).astype(np.int8)
        assert list(content.shape) == list(tensor.dims), f"{tensor.name} changed its shape"
        if external:
            offset = int(entries.get("offset", "") or 0)
            files[place][offset : offset + content.size] = content.tobytes()
        else:
            tensor.ClearField("int32_data")
            tensor.raw_data = content.tobytes()
    return {path.name: kept.SerializeToString(), **{name: bytes(data) for name, data in files.items()}}


def _read(path: Path) -> ModelProto:
    load_model(path)
    model = ModelProto.FromString(path.read_bytes())
    load_external(model, path.parent, str(path))
    return model


def _values(tensor: TensorProto) -> npt.NDArray[np.int8] | npt.NDArray[np.float64]:
    try:
        content = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"weight '{tensor.name}' cannot be read: {str(error)[:200]}") from None
    if tensor.data_type == TensorProto.INT8:
        whole: npt.NDArray[np.int8] = content.astype(np.int8)
        return whole
    zero = 128 if tensor.data_type == TensorProto.UINT8 else 0
    numbers: npt.NDArray[np.float64] = content.astype(np.float64)
    numbers[~(np.abs(numbers) < _LARGEST)] = 0
    return numbers - zero


def _channel_axes(model: ModelProto) -> dict[str, int]:
    """Axis of the output channels of each initialiser that a convolution or a product multiplies by."""
    makers = {output: node for node in model.graph.node for output in node.output}
    axes: dict[str, int] = {}
    for node in model.graph.node:
        position = _KERNELS.get(node.op_type, _MATRICES.get(node.op_type))
        if position is None or position >= len(node.input):
            continue
        name = node.input[position]
        while (maker := makers.get(name)) is not None and maker.op_type in _THROUGH:
            name = maker.input[0]
        axes[name] = _channel_axis(node)
    return axes


def _channel_axis(node: NodeProto) -> int:
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type in _KERNELS:
        return 0
    flags = {item.name: item.i for item in node.attribute if item.type == AttributeProto.INT}
    return 0 if node.op_type == "Gemm" and flags.get("transB", 0) else -1
