"""The typed graph and its way in: load an ONNX model, import it, run its reference, run parts on the host."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hanok.graph.ir import (
    Attributes,
    AxesAttributes,
    ConcatAttributes,
    ConvAttributes,
    DType,
    ElementwiseAttributes,
    FormulaAttributes,
    Graph,
    LookupAttributes,
    MatMulAttributes,
    Node,
    Operator,
    PadAttributes,
    PoolAttributes,
    Quantization,
    ResizeAttributes,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)

if TYPE_CHECKING:
    from hanok.graph.host import host_model
    from hanok.graph.load import load_model
    from hanok.graph.onnx_import import import_graph
    from hanok.graph.oracle import reference_session, run_onnxruntime
    from hanok.graph.reference import run_node, run_reference
    from hanok.graph.simplify import simplify_float

_LAZY = {
    "host_model": "hanok.graph.host",
    "import_graph": "hanok.graph.onnx_import",
    "load_model": "hanok.graph.load",
    "reference_session": "hanok.graph.oracle",
    "run_node": "hanok.graph.reference",
    "run_onnxruntime": "hanok.graph.oracle",
    "run_reference": "hanok.graph.reference",
    "simplify_float": "hanok.graph.simplify",
}
"""Names whose modules need onnx; they are imported at first use, so that `import hanok.graph` is quick."""

__all__ = [
    "Attributes",
    "AxesAttributes",
    "ConcatAttributes",
    "ConvAttributes",
    "DType",
    "ElementwiseAttributes",
    "FormulaAttributes",
    "Graph",
    "LookupAttributes",
    "MatMulAttributes",
    "Node",
    "Operator",
    "PadAttributes",
    "PoolAttributes",
    "Quantization",
    "ResizeAttributes",
    "SliceAttributes",
    "Tensor",
    "TransposeAttributes",
    "host_model",
    "import_graph",
    "load_model",
    "reference_session",
    "run_node",
    "run_onnxruntime",
    "run_reference",
    "simplify_float",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'hanok.graph' has no attribute '{name}'")
