"""The operators page of the manual, printed from the constraints: python -m hanok.compiler.operators."""

from __future__ import annotations

import sys

from hanok.compiler.supported import CONSTRAINTS, constraints_in_order
from hanok.graph import Operator

ARRIVES: dict[Operator, tuple[str, ...]] = {
    Operator.CONV: ("Conv", "BatchNormalization"),
    Operator.CONV_TRANSPOSE: ("ConvTranspose",),
    Operator.MATMUL: ("Gemm", "MatMul"),
    Operator.ADD: ("Add",),
    Operator.SUB: ("Sub",),
    Operator.MUL: ("Mul",),
    Operator.DIV: ("Div",),
    Operator.LOOKUP: (),
    Operator.MAX_POOL: ("MaxPool", "GlobalMaxPool"),
    Operator.AVERAGE_POOL: ("AveragePool", "GlobalAveragePool"),
    Operator.REDUCE_MEAN: ("ReduceMean",),
    Operator.SOFTMAX: ("Softmax",),
    Operator.CONCAT: ("Concat", "Expand", "Tile"),
    Operator.SLICE: ("Slice", "Split", "Gather"),
    Operator.PAD: ("Pad",),
    Operator.RESHAPE: ("Reshape", "Flatten", "Squeeze", "Unsqueeze"),
    Operator.TRANSPOSE: ("Transpose", "DepthToSpace", "SpaceToDepth"),
    Operator.RESIZE: ("Resize",),
    Operator.FORMULA: (
        "Abs",
        "Add",
        "And",
        "Cast",
        "Clip",
        "Cos",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "Max",
        "Mean",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "RMSNormalization",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Sigmoid",
        "Sin",
        "Softmax",
        "Softplus",
        "Sqrt",
        "Sub",
        "Sum",
        "Swish",
        "Tanh",
        "Where",
        "com.microsoft.FastGelu",
        "com.microsoft.Gelu",
        "com.microsoft.QuickGelu",
    ),
}
"""The ONNX operators that arrive as each operator of the typed graph; LOOKUP has its own section."""

RUNS: dict[Operator, str] = {
    Operator.CONV: "matrix unit; 1-D and 2-D, grouped, depthwise, dilated, strided, any padding; with what "
    "follows it (scale, clamp, table, addition) in one layer",
    Operator.CONV_TRANSPOSE: "matrix unit; one convolution for each output position modulo the stride",
    Operator.MATMUL: "matrix unit; any number of leading axes; of an activation and weights, or of two "
    "activations",
    Operator.ADD: "vector unit, or part of the convolution or product that makes an operand; any broadcast",
    Operator.SUB: "vector unit; any broadcast",
    Operator.MUL: "vector unit; any broadcast",
    Operator.DIV: "vector unit; any broadcast",
    Operator.LOOKUP: "vector unit, or part of the convolution or product before it",
    Operator.MAX_POOL: "vector unit",
    Operator.AVERAGE_POOL: "vector unit",
    Operator.REDUCE_MEAN: "vector unit",
    Operator.SOFTMAX: "vector unit; along any axis",
    Operator.CONCAT: "a layout where the parts can be made in place, else copies",
    Operator.SLICE: "a layout; bytes move only where a reader needs them dense",
    Operator.PAD: "part of the convolution behind it where it pads with zero, else a copy",
    Operator.RESHAPE: "a layout; bytes move only where strides forbid it",
    Operator.TRANSPOSE: "a layout; bytes move only where a reader needs another order",
    Operator.RESIZE: "vector unit; nearest and linear, any ratio",
    Operator.FORMULA: "vector unit in float32, on float32 tensors and dequantised int8 ones, any broadcast; "
    "neighbours become one layer. Pow has a constant exponent",
}
"""Where each operator runs, and in which forms."""

FLOATS = "Float"
"""The heading of FORMULA, which no ONNX operator is called."""

HEAD = (
    "# Operators\n"
    "\n"
    "Printed by `python -m hanok.compiler.operators` from the constraints in "
    "`hanok/compiler/supported.py`; do not edit.\n"
    "\n"
    "What each operator computes, bit for bit, stands in [numerics.md](numerics.md). An operator runs "
    "on the NPU as an integer operator when its operands are quantised (QuantizeLinear and DequantizeLinear "
    "around it) and every line under it is true, or in float32 where the section Float names it. "
    "Otherwise it runs on the host through ONNX Runtime, the report names it with the line that was not "
    "true, and `--no-host` makes it an error.\n"
)

TABLES = (
    "Every function of one int8 tensor and scalar constants is a table of 256 entries: Relu, LeakyRelu,"
    " PRelu, Clip, Sigmoid, HardSigmoid, HardSwish, Tanh, Gelu, Erf, Elu, Selu, Celu, Mish, Swish, "
    "Softplus, Softsign, Exp, Log, Sqrt, Pow, Abs, Neg, Reciprocal, the trigonometric functions, "
    "comparisons with a constant, and expressions of them such as `x * Sigmoid(x)`. So is a change of "
    "scale between two operators."
)

PARTS = (
    "## In their parts\n"
    "\n"
    "Attention and RotaryEmbedding become products, slices, sums and softmax; heads that share keys and "
    "values stay a broadcast. GroupNormalization becomes means, roots and products. LSTM and GRU (constant "
    "weights, default activations, whole sequences of at most 4096 steps) are written out step by step, "
    "CumSum as sums of 2, 4, 8 ... neighbours.\n"
)

HOST = (
    "## On the host\n"
    "\n"
    "- Operators that are not named on this page, and convolutions, products and pools of float operands.\n"
    "- Gather by indices that are no constants (embeddings): the load engine has no indirect addresses, so "
    "the host, which has the indices, fetches the rows.\n"
    "- Arithmetic and logic of int64 and bool tensors (masks from lengths, positions): a few elements that "
    "the host has anyway.\n"
    "- Operators named above with an operand that has no scale, or more than one scale where the page "
    "allows one.\n"
    "- A second QuantizeLinear of a value that was just dequantised, where it cannot become a table.\n"
    "\n"
    "QuantizeLinear and DequantizeLinear at the borders of the NPU are part of reading and writing "
    "tensors and cost no stage. Identity, Dropout, Cast between equal types and arithmetic on shapes "
    "are folded away before compilation.\n"
)


def operators_page() -> str:
    """The text of docs/operators.md."""
    always = constraints_in_order(*CONSTRAINTS.values())
    shared = [
        constraint for constraint in always if all(constraint in found for found in CONSTRAINTS.values())
    ]
    parts = [HEAD, "## Always\n", *(f"- {constraint.__doc__}." for constraint in shared), ""]
    for operator, constraints in CONSTRAINTS.items():
        names = ", ".join(ARRIVES[operator])
        parts.append(f"## {FLOATS if operator is Operator.FORMULA else operator.value}\n")
        parts.append(f"ONNX: {names}.\n" if names else f"{TABLES}\n")
        parts.append(
            f"Runs on the {RUNS[operator]}.\n"
            if " unit" in RUNS[operator]
            else f"Becomes {RUNS[operator]}.\n"
        )
        own = [constraint for constraint in constraints if constraint not in shared]
        parts += [f"- {constraint.__doc__}." for constraint in own]
        parts += [""] if own else []
    return "\n".join([*parts, PARTS, HOST])


if __name__ == "__main__":
    sys.stdout.write(operators_page())
