"""The typed graph: int8 tensors with scales, float32 tensors, operators with their attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from hanok.errors import ModelError
from hanok.numerics.formula import Formula

Array = npt.NDArray[np.generic]


class DType(Enum):
    """Element types of tensors; INT8, INT32 and FLOAT32 live on the NPU, the others only on the host side."""

    INT8 = "int8"
    INT32 = "int32"
    FLOAT32 = "float32"
    INT64 = "int64"
    BOOL = "bool"
    OTHER = "other"


class Operator(Enum):
    """The operators of the typed graph; every ONNX operator becomes one of these or HOST."""

    CONV = "Conv"
    CONV_TRANSPOSE = "ConvTranspose"
    MATMUL = "MatMul"
    ADD = "Add"
    SUB = "Sub"
    MUL = "Mul"
    DIV = "Div"
    LOOKUP = "Lookup"
    MAX_POOL = "MaxPool"
    AVERAGE_POOL = "AveragePool"
    REDUCE_MEAN = "ReduceMean"
    SOFTMAX = "Softmax"
    CONCAT = "Concat"
    SLICE = "Slice"
    PAD = "Pad"
    RESHAPE = "Reshape"
    TRANSPOSE = "Transpose"
    RESIZE = "Resize"
    FORMULA = "Formula"
    QUANTIZE = "QuantizeLinear"
    DEQUANTIZE = "DequantizeLinear"
    HOST = "Host"


@dataclass(frozen=True)
class Quantization:
    """real = (stored - zero_point) * scale; arrays have one element, or one a slice along `axis`.

    `stored` is the int8 value of the typed graph: uint8 tensors of the ONNX model are stored minus 128,
    and their zero points likewise, which changes no result.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int32]
    axis: int | None = None

    @property
    def per_tensor(self) -> bool:
        """Whether one scale serves the whole tensor."""
        return self.scale.size == 1

    @property
    def scalar_scale(self) -> np.float32:
        """The scale of a per-tensor quantization."""
        assert self.per_tensor, "scalar_scale asked of a per-channel quantization"
        return np.float32(self.scale.reshape(-1)[0])

    @property
    def scalar_zero(self) -> int:
        """The zero point of a per-tensor quantization."""
        assert self.zero_point.size == 1, "scalar_zero asked of a per-channel quantization"
        return int(self.zero_point.reshape(-1)[0])


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: ONNX name, logical ONNX shape (NCHW order where ONNX has it), type, data."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None
    data: Array | None = None
    """Constant content (int8 weights already shifted from uint8), or None for an activation."""
    unsigned: bool = False
    """True when the ONNX model holds this int8 tensor as uint8 (stored = uint8 value - 128)."""
    element_type: str = ""
    """ONNX's name of the element type ('FLOAT16', 'UINT8') where `dtype` is OTHER."""

    @property
    def elements(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Attributes:
    """Base of the attribute records; operators without attributes carry this one."""


@dataclass(frozen=True)
class ConvAttributes(Attributes):
    """2-D convolution; a 1-D one has height 1 (its tensors are reshaped). Pads: top, left, bottom, right.

    Inputs: x int8 [N,C,H,W]; w int8 [M,C/group,kh,kw] (ConvTranspose: [C,M/group,kh,kw]); optional bias
    int32 [M] with scale sx*sw and zero point 0. Weight zero points may be non-zero.
    `clamp` is the allowed range of the stored int8 output: a fused Relu or Clip narrows it.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    group: int
    clamp: tuple[int, int] = (-128, 127)
    output_padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class MatMulAttributes(Attributes):
    """x int8 [..., K] times w int8 [K, N] (constant, Gemm's transB and alpha already applied) or an
    activation [..., K, N]; optional int32 bias [N]; quantization of w per tensor or per column.
    """

    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class ElementwiseAttributes(Attributes):
    """Two int8 operands that broadcast by NumPy's rules; either may be a constant."""

    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class LookupAttributes(Attributes):
    """output = table[stored input + 128]; 256 int8 entries, computed from the ONNX float definition."""

    table: npt.NDArray[np.int8]
    function: str
    """The ONNX operators that the table stands for, for reports: 'Sigmoid', 'Requantize' ..."""


@dataclass(frozen=True)
class PoolAttributes(Attributes):
    """2-D pooling over [N,C,H,W]; global pooling has kernel = (H, W). Pads: top, left, bottom, right.

    MAX_POOL's input and output share one quantization. For AVERAGE_POOL `count_include_pad` says whether
    padding (real value 0) counts in the divisor.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int] = (1, 1)
    count_include_pad: bool = False
    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class AxesAttributes(Attributes):
    """REDUCE_MEAN over `axes` (non-negative, sorted); SOFTMAX over the single axis."""

    axes: tuple[int, ...]
    keepdims: bool = True
    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class ConcatAttributes(Attributes):
    """Concatenation along `axis`; all inputs have the output's quantization (LOOKUPs are inserted)."""

    axis: int


@dataclass(frozen=True)
class SliceAttributes(Attributes):
    """output index i along each axis reads input index start + i * step (one entry for every axis)."""

    starts: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class PadAttributes(Attributes):
    """Constant padding before and after every axis with the stored int8 `value`."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class TransposeAttributes(Attributes):
    """output axis i is input axis permutation[i]."""

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class ResizeAttributes(Attributes):
    """Resize of H and W of [N,C,H,W]; for each output row (column): source indices and float32 weights.

    nearest: `rows` int32 [OH,1], `row_weights` float32 [OH,1] of ones. linear: [OH,2] each, the two taps
    already clamped to the image. Columns likewise. Value: sum over the taps, then requantised.
    """

    mode: str
    rows: npt.NDArray[np.int32]
    row_weights: npt.NDArray[np.float32]
    columns: npt.NDArray[np.int32]
    column_weights: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FormulaAttributes(Attributes):
    """Float32 arithmetic on int8 operands (as real numbers) and float32 ones, which broadcast.

    `result`: the value of the formula that is the output; an int8 output is sat(rint(value) + zero point),
    so the division by its scale is part of the formula. Folds run over `axes` of the broadcast shape, all of
    them together, in logical order; the axes have length 1 in an output that is one value a row.
    """

    formula: Formula
    result: int
    axes: tuple[int, ...] = ()
    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class Node:
    """One operator: its ONNX node name, operands by tensor name, attributes, and its origin."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=Attributes)
    onnx_type: str = ""
    """The ONNX operator type that the user knows ('Gemm', 'DepthToSpace')."""
    onnx_nodes: tuple[bytes, ...] = ()
    """Serialised float NodeProtos that define this node for the host (empty where it has no such form)."""


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order over named tensors.

    Graph inputs and outputs are the ONNX model's (mostly float32); QUANTIZE and DEQUANTIZE nodes stand at
    the borders between float and int8 and run on the host side of the interface. RESHAPE covers Flatten,
    Squeeze and Unsqueeze; DepthToSpace and SpaceToDepth arrive as RESHAPE, TRANSPOSE, RESHAPE.
    """

    name: str
    tensors: dict[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int = 21
    ir_version: int = 10
    domains: dict[str, int] = field(default_factory=dict)
    """Operator-set versions of the domains beside ONNX's own, for the host's models."""

    def tensor(self, name: str) -> Tensor:
        """Return the tensor called `name`."""
        try:
            return self.tensors[name]
        except KeyError:
            raise ModelError(f"{self.name}: tensor '{name}' is used but never defined") from None

    def producers(self) -> dict[str, Node]:
        """Map each tensor name to the node that makes it."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Map each tensor name to the nodes that read it, in order."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers
