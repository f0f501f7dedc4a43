"""Float operators as formulas: arithmetic, functions, comparisons, reductions, normalisations, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hanok.graph._affine import constant_value
from hanok.graph._borders import MOVEMENT
from hanok.graph._match import Context
from hanok.graph._working import QUANTIZE, Array, Operation
from hanok.numerics.formula import Action, Formula, Operand, Ref
from hanok.numerics.functions import (
    ROUGH,
    UNARY,
    exponential,
    falling_exponential,
    inverse_root,
    logarithm,
    power,
    root,
)


@dataclass
class Draft:
    """A formula under construction: `names` are the values behind its inputs, constants of one element are
    immediates.

    `axes`: over which it folds. `keeps`: the folded axes stay in the ONNX result, with length 1.
    """

    context: Context
    operation: Operation
    names: list[str]
    formula: Formula
    axes: tuple[int, ...] = ()
    keeps: bool = True
    rough: bool = False
    """The result is soon rounded to eight bits."""
    extra: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes under which constants are read: a scale of channels as [C, 1, 1]."""
    before: tuple[Operation, ...] = ()
    """Operations that the formula makes too, each of which gives an operand of the next one."""

    @classmethod
    def of(cls, context: Context, operation: Operation) -> Draft:
        """A draft over the operands of an operation."""
        names = [name for name in dict.fromkeys(operation.inputs) if name and not _is_scalar(context, name)]
        rough = is_rounded_soon(context, operation.outputs[0])
        return cls(context, operation, names, Formula(len(names)), rough=rough)

    def operand(self, position: int) -> Operand:
        """The value of an operand of the operation."""
        name = self.operation.inputs[position]
        content = constant_operand(self.context, name)
        if content is not None and content.size == 1:
            return float(content.reshape(-1)[0])
        return self.formula.input(self.names.index(name))

    def has(self, position: int) -> bool:
        """Whether an optional operand is there."""
        return bool(self.operation.input(position))

    def function(self, name: str, value: Operand) -> Ref:
        """A function of ONNX's, in fewer steps where eight bits are all that is left of it."""
        chosen = ROUGH.get(name, UNARY[name]) if self.rough else UNARY[name]
        return chosen(self.formula, value)

    @property
    def rank(self) -> int:
        """Axes of the first operand."""
        return len(self.context.working.shape(self.operation.inputs[0]))

    def fold_over(self, axes: Sequence[int]) -> int:
        """Fold over axes of the first operand; return how many elements a row has."""
        shape = self.context.working.shape(self.operation.inputs[0])
        self.axes = tuple(sorted(axis % len(shape) for axis in axes))
        return math.prod(shape[axis] for axis in self.axes)

    def sum(self, value: Operand) -> Ref:
        """The sum of a row."""
        return self.formula.fold(Action.SUM, value)


def constant_operand(context: Context, name: str) -> Array | None:
    """A constant of any type, or what a DQ makes of one."""
    content = context.working.constant(name)
    return constant_value(context.working, context.producers, name) if content is None else content


def _is_scalar(context: Context, name: str) -> bool:
    content = constant_operand(context, name)
    return content is not None and content.size == 1


def is_rounded_soon(context: Context, name: str, depth: int = 4) -> bool:
    """Whether only QuantizeLinear reads a value, or what products and sums with constants make of it."""
    readers = context.readers.get(name, [])
    if not readers or name in context.working.outputs:
        return False
    for reader in readers:
        if reader.op_type == QUANTIZE:
            continue
        sums = reader.op_type in ("Add", "Sub") and any(_is_scalar(context, n) for n in reader.inputs)
        passes = not reader.domain and (sums or reader.op_type in ("Mul", *MOVEMENT))
        if not passes or depth == 0 or not is_rounded_soon(context, reader.outputs[0], depth - 1):
            return False
    return True


Drafter = Callable[[Draft], Ref | None]


def _binary(method: Callable[[Formula, Operand, Operand], Ref]) -> Drafter:
    def draft(d: Draft) -> Ref:
        return method(d.formula, d.operand(0), d.operand(1))

    return draft


def _unary(name: str) -> Drafter:
    return lambda d: d.function(name, d.operand(0))


def _several(method: Callable[[Formula, Operand, Operand], Ref]) -> Drafter:
    """Max, Min, Sum of any number of operands."""

    def draft(d: Draft) -> Ref:
        total = d.operand(0)
        for position in range(1, len(d.operation.inputs)):
            total = method(d.formula, total, d.operand(position))
        return total if isinstance(total, Ref) and len(d.operation.inputs) > 1 else d.formula.mul(total, 1.0)

    return draft


def _mean_of_several(d: Draft) -> Ref | None:
    total = _several(Formula.add)(d)
    return None if total is None else d.formula.mul(total, 1 / len(d.operation.inputs))


def _not_greater(turned: bool) -> Drafter:
    """a <= b as 1 - (a > b), a >= b as 1 - (b > a)."""

    def draft(d: Draft) -> Ref:
        a, b = (d.operand(1), d.operand(0)) if turned else (d.operand(0), d.operand(1))
        return d.formula.sub(1.0, d.formula.greater(a, b))

    return draft


def _equal(d: Draft) -> Ref:
    a, b, f = d.operand(0), d.operand(1), d.formula
    return f.sub(1.0, f.maximum(f.greater(a, b), f.greater(b, a)))


def _where(d: Draft) -> Ref:
    return d.formula.select(d.operand(0), d.operand(1), d.operand(2))


def _outer_product(d: Draft) -> Ref | None:
    """A product over one element is a product of elements."""
    shapes = [d.context.working.shape(name) for name in d.operation.inputs]
    single = min(len(shape) for shape in shapes) >= 2 and shapes[0][-1] == 1
    return d.formula.mul(d.operand(0), d.operand(1)) if single else None


def _power(d: Draft) -> Ref | None:
    exponent = d.operand(1)
    return None if isinstance(exponent, Ref) else power(d.formula, d.operand(0), exponent)


def _clip(d: Draft) -> Ref:
    value: Operand = d.formula.mul(d.operand(0), 1.0)
    if d.has(1):
        value = d.formula.maximum(value, d.operand(1))
    if d.has(2):
        value = d.formula.minimum(value, d.operand(2))
    assert isinstance(value, Ref), "a value of lines"
    return value


def _leaky(d: Draft) -> Ref:
    x, f = d.operand(0), d.formula
    slope = d.operand(1) if d.has(1) else d.operation.real("alpha", 0.01)
    return f.add(f.mul(f.minimum(x, 0.0), slope), f.maximum(x, 0.0))


def _hard_sigmoid(d: Draft) -> Ref:
    f, hard = d.formula, d.operation.op_type == "HardSwish"
    alpha = 1 / 6 if hard else d.operation.real("alpha", 0.2)
    beta = 0.5 if hard else d.operation.real("beta", 0.5)
    gate = f.minimum(f.maximum(f.add(f.mul(d.operand(0), alpha), beta), 0.0), 1.0)
    return f.mul(gate, d.operand(0)) if hard else gate


def _gelu(d: Draft) -> Ref:
    tangent = d.operation.text("approximate", "none") == "tanh" or d.operation.op_type == "FastGelu"
    return d.function("GeluTanh" if tangent else "Gelu", d.operand(0))


def _swish(d: Draft) -> Ref:
    f, factor = d.formula, d.operation.real("alpha", 1.0)
    if factor == 1.0:
        return d.function("Swish", d.operand(0))
    return f.mul(d.function("Sigmoid", f.mul(d.operand(0), factor)), d.operand(0))


def _axes(d: Draft) -> list[int] | None:
    """The axes of a reduction: an attribute in old opsets, an operand in new ones, else all."""
    if d.operation.has("axes"):
        return d.operation.integers("axes")
    if not d.has(1):
        return None if d.operation.integer("noop_with_empty_axes") else list(range(d.rank))
    content = d.context.working.constant(d.operation.inputs[1])
    return None if content is None else [int(axis) for axis in content.reshape(-1)] or list(range(d.rank))


def _reduction(fold: Callable[[Draft, Operand, int], Ref]) -> Drafter:
    def draft(d: Draft) -> Ref | None:
        axes = _axes(d)
        if not axes:
            return None
        d.names, d.keeps = d.names[:1], bool(d.operation.integer("keepdims", 1))
        d.formula.inputs = 1
        return fold(d, d.operand(0), d.fold_over(axes))

    return draft


def _exponential(d: Draft) -> Ref:
    """Where it is soon rounded, and of what is left of the largest of a row, in still fewer steps."""
    maker = d.context.producers.get(d.operation.inputs[0])
    if maker is None or not d.rough or not _is_below_largest(d.context, maker):
        return d.function("Exp", d.operand(0))
    d.before, d.names, d.formula = (maker,), list(maker.inputs), Formula(2)
    return falling_exponential(d.formula, d.formula.input(0), d.formula.input(1))


def _is_below_largest(context: Context, operation: Operation) -> bool:
    """Whether an operation is x - ReduceMax(x), so that nothing of it is above 0."""
    if operation.domain or operation.op_type != "Sub":
        return False
    x, largest = operation.inputs
    maker = context.producers.get(largest)
    if maker is None or maker.domain or maker.op_type != "ReduceMax" or maker.inputs[0] != x:
        return False
    return len(context.working.shape(largest)) == len(context.working.shape(x))


def _log_of_sum(d: Draft, x: Operand) -> Ref:
    f = d.formula
    top = f.fold(Action.LARGEST, x)
    return f.add(logarithm(f, d.sum(exponential(f, f.sub(x, top)))), top)


def _softmax(d: Draft) -> Ref:
    d.fold_over([d.operation.integer("axis", -1)])
    f, x = d.formula, d.operand(0)
    top = f.fold(Action.LARGEST, x)
    powers = falling_exponential(f, x, top) if d.rough else exponential(f, f.sub(x, top))
    return f.mul(powers, f.div(1.0, d.sum(powers)))


def _log_softmax(d: Draft) -> Ref:
    d.fold_over([d.operation.integer("axis", -1)])
    return d.formula.sub(d.operand(0), _log_of_sum(d, d.operand(0)))


def _normalised(d: Draft, x: Operand, count: int, epsilon: float) -> Ref:
    """(x - mean) / sqrt(variance + epsilon) of each row."""
    f = d.formula
    centred = f.sub(x, f.mul(d.sum(x), 1 / count))
    variance = f.mul(d.sum(f.mul(centred, centred)), 1 / count)
    return f.mul(centred, inverse_root(f, f.add(variance, epsilon)))


def _affine(d: Draft, value: Ref) -> Ref:
    if d.has(1):
        value = d.formula.mul(value, d.operand(1))
    if d.has(2):
        value = d.formula.add(value, d.operand(2))
    return value


def _layer_normalization(d: Draft) -> Ref:
    first = d.operation.integer("axis", -1) % d.rank
    count = d.fold_over(range(first, d.rank))
    return _affine(d, _normalised(d, d.operand(0), count, d.operation.real("epsilon", 1e-5)))


def _rms_normalization(d: Draft) -> Ref:
    first = d.operation.integer("axis", -1) % d.rank
    count = d.fold_over(range(first, d.rank))
    f, x = d.formula, d.operand(0)
    mean = f.mul(d.sum(f.mul(x, x)), 1 / count)
    return _affine(d, f.mul(x, inverse_root(f, f.add(mean, d.operation.real("epsilon", 1e-5)))))


def _instance_normalization(d: Draft) -> Ref:
    count = d.fold_over(range(2, d.rank))
    for position in (1, 2):
        content = constant_operand(d.context, d.operation.inputs[position])
        if content is not None:
            d.extra[d.operation.inputs[position]] = (content.size, *(1,) * (d.rank - 2))
    return _affine(d, _normalised(d, d.operand(0), count, d.operation.real("epsilon", 1e-5)))


DRAFTERS: dict[str, Drafter] = {
    **{name: _unary(name) for name in UNARY if name not in ("Gelu", "Swish", "GeluTanh", "InverseSqrt")},
    "Add": _binary(Formula.add),
    "And": _binary(Formula.mul),
    "Cast": _unary("Identity"),
    "Clip": _clip,
    "Div": _binary(Formula.div),
    "Equal": _equal,
    "Exp": _exponential,
    "Gelu": _gelu,
    "Greater": _binary(Formula.greater),
    "GreaterOrEqual": _not_greater(turned=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_sigmoid,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": _leaky,
    "Less": _binary(lambda f, a, b: f.greater(b, a)),
    "LessOrEqual": _not_greater(turned=False),
    "LogSoftmax": _log_softmax,
    "MatMul": _outer_product,
    "Max": _several(Formula.maximum),
    "Mean": _mean_of_several,
    "Min": _several(Formula.minimum),
    "Mul": _binary(Formula.mul),
    "Or": _binary(Formula.maximum),
    "PRelu": _leaky,
    "Pow": _power,
    "RMSNormalization": _rms_normalization,
    "ReduceL1": _reduction(lambda d, x, n: d.sum(d.formula.maximum(d.formula.mul(x, -1.0), x))),
    "ReduceL2": _reduction(lambda d, x, n: root(d.formula, d.sum(d.formula.mul(x, x)))),
    "ReduceLogSumExp": _reduction(lambda d, x, n: _log_of_sum(d, x)),
    "ReduceMax": _reduction(lambda d, x, n: d.formula.fold(Action.LARGEST, x)),
    "ReduceMean": _reduction(lambda d, x, n: d.formula.mul(d.sum(x), 1 / n)),
    "ReduceMin": _reduction(lambda d, x, n: d.formula.fold(Action.LEAST, x)),
    "ReduceSum": _reduction(lambda d, x, n: d.sum(x)),
    "ReduceSumSquare": _reduction(lambda d, x, n: d.sum(d.formula.mul(x, x))),
    "Softmax": _softmax,
    "Sub": _binary(Formula.sub),
    "Sum": _several(Formula.add),
    "Swish": _swish,
    "Where": _where,
    "com.microsoft.FastGelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.QuickGelu": _swish,
}
"""ONNX's float operators that are formulas, by their standard type."""


def draft_float(context: Context, operation: Operation) -> tuple[Draft, Ref] | None:
    """The formula of a float operation, or None where it has none."""
    drafter = DRAFTERS.get(operation.standard_type)
    if drafter is None or len(operation.outputs) != 1:
        return None
    draft = Draft.of(context, operation)
    if not draft.names:
        return None
    result = drafter(draft)
    return None if result is None else (draft, result)
