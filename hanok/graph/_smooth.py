"""Smoothing: large channels of an activation are divided, and the rows of the weights behind multiplied.

SmoothQuant (Xiao et al. 2023): s = max|x|^a / max|w|^(1 - a) for each channel, exact in float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hanok.graph._calibration import Sample
from hanok.graph._operands import FloatArray, Rows, WeightedProduct, keeps_rows, visit_rows, weighted_products
from hanok.graph._steps import rounded, rounded_columns
from hanok.graph._working import Array, Operation, WorkingGraph

STRENGTHS = (0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
"""Exponents a that are tried."""
FREE_GAIN_DB = 0.2
"""What smoothing must bring where constants before the activation absorb the factors."""
PAID_GAIN_DB = 3.0
"""What it must bring where it costs a multiplication of the activation."""


@dataclass(frozen=True)
class SmoothedActivation:
    """One activation whose channels were evened out."""

    name: str
    strength: float
    gain_db: float
    """By how much the error of the products that read it fell on the calibration samples."""
    is_free: bool
    """Whether constants before it took the factors; else it is multiplied before it is quantised."""


def smooth_channels(
    working: WorkingGraph, samples: Sequence[Sample], skipped: Iterable[str] = ()
) -> list[SmoothedActivation]:
    """Smooth every activation that products with constant weights read, where their error falls."""
    groups: dict[str, list[WeightedProduct]] = {}
    for product in weighted_products(working, skipped):
        groups.setdefault(_root(working, product.source), []).append(product)
    choices: dict[str, tuple[float, float, FloatArray]] = {}

    def choose(name: str, rows: Rows) -> None:
        choices[name] = _best_factors(rows, groups[name])

    visit_rows(working, samples, groups, choose)
    done = []
    for name, products in groups.items():
        strength, gain, factors = choices[name]
        found = _smooth(working, name, products, factors, gain)
        if found is not None:
            done.append(SmoothedActivation(name, strength, gain, found))
    working.remove_dead()
    return done


def _smooth(
    working: WorkingGraph, name: str, products: list[WeightedProduct], factors: FloatArray, gain: float
) -> bool | None:
    """Apply the factors; return whether that was free, or None where it does not pay."""
    if gain < FREE_GAIN_DB:
        return None
    edits = _Absorption(working, factors)
    readers = edits.readers_behind(name)
    free = readers == {id(product.operation) for product in products} and edits.absorb(name, inner=False)
    if not free and gain < PAID_GAIN_DB:
        return None
    if free:
        edits.apply()
    else:
        _multiply(working, products, factors)
    for product in products:
        _scale_rows(working, product, factors)
    return free


def _root(working: WorkingGraph, name: str) -> str:
    """The tensor before Reshapes that keep the rows of the last axis."""
    producers = working.producers()
    while name in producers and keeps_rows(working, producers[name]):
        name = producers[name].inputs[0]
    return name


def _best_factors(rows: Rows, products: Sequence[WeightedProduct]) -> tuple[float, float, FloatArray]:
    """The strength whose products err least, its gain in dB, and its factors.

    Factors and range come from one half of the rows, the error from the other: a factor that follows one
    large value would let new ones be cut off.
    """
    weights = [product.weight.astype(np.float64) for product in products]
    widest = np.max([np.abs(weight).max(1) for weight in weights], axis=0)
    errors = dict.fromkeys((0.0, *STRENGTHS), 0.0)
    for seen, unseen in rows.halves():
        for strength in errors:
            errors[strength] += _error(seen, unseen, weights, _factors(np.abs(seen).max(0), widest, strength))
    best = min(errors, key=errors.__getitem__)
    gain = 10 * np.log10(errors[0.0] / errors[best]) if errors[best] > 0 else 0.0
    return best, float(gain), _factors(rows.largest, widest, best)


def _factors(largest: FloatArray, widest: FloatArray, strength: float) -> FloatArray:
    """Divisors of the channels, with a geometric mean of 1; 1 for all at strength 0."""
    factors = np.ones_like(largest)
    live = (largest > 0) & (widest > 0)
    if strength > 0 and live.any():
        factors[live] = largest[live] ** strength / widest[live] ** (1 - strength)
        factors[live] /= np.exp(np.log(factors[live]).mean())
    return factors.astype(np.float32).astype(np.float64)


def _error(seen: FloatArray, unseen: FloatArray, weights: Sequence[FloatArray], factors: FloatArray) -> float:
    """Squared error of the products of unseen rows when both operands are rounded, in the range of seen."""
    smooth = seen / factors
    low, high = float(smooth.min()), float(smooth.max())
    smooth = unseen / factors
    coarse = rounded(smooth, low, high)
    total = 0.0
    for weight in weights:
        scaled = weight * factors[:, None]
        total += float(np.square(coarse @ rounded_columns(scaled) - smooth @ scaled).sum())
    return total


def _multiply(working: WorkingGraph, products: Sequence[WeightedProduct], factors: FloatArray) -> None:
    """Multiply the products' activation by 1 / factors before them, once for each tensor they read."""
    inverse = working.add_constant("smoothing", (1 / factors).astype(np.float32))
    renamed: dict[str, str] = {}
    for product in products:
        source = product.source
        if source not in renamed:
            renamed[source] = working.fresh(f"{source}/smooth")
            working.note(renamed[source], working.shape(source), working.types[source])
            step = Operation.make("Mul", [source, inverse], [renamed[source]], f"{renamed[source]}/factor")
            working.operations.insert(working.operations.index(product.operation), step)
        product.operation.inputs[0] = renamed[source]


def _scale_rows(working: WorkingGraph, product: WeightedProduct, factors: FloatArray) -> None:
    scaled = (product.weight * factors[:, None]).astype(np.float32)
    content = np.ascontiguousarray(scaled.T if product.is_turned else scaled)
    product.operation.inputs[1] = working.add_constant(product.operation.inputs[1], content)


class _Absorption:
    """Division of an activation's channels by constants of the operations that make it."""

    def __init__(self, working: WorkingGraph, factors: FloatArray) -> None:
        self.working = working
        self.factors = factors
        self.producers = working.producers()
        self.consumers = working.consumers()
        self.edits: list[tuple[Operation, int, Array]] = []

    def apply(self) -> None:
        """Put the changed constants in place."""
        for operation, position, content in self.edits:
            stem = operation.inputs[position]
            operation.inputs[position] = self.working.add_constant(stem, content.astype(np.float32))

    def readers_behind(self, name: str) -> set[int]:
        """What reads the activation, Reshapes of its rows passed over; -1 for the world outside."""
        found: set[int] = {-1} if name in self.working.outputs else set()
        for reader in self.consumers.get(name, []):
            if keeps_rows(self.working, reader):
                found |= self.readers_behind(reader.outputs[0])
            else:
                found.add(id(reader))
        return found

    def absorb(self, name: str, *, inner: bool = True) -> bool:
        """Collect the edits that divide the channels of `name`; False where it cannot be done.

        An `inner` tensor must not be read by anything else.
        """
        shared = len(self.consumers.get(name, [])) > 1 or name in self.working.outputs
        maker = self.producers.get(name)
        if maker is None or maker.domain or (inner and shared):
            return False
        if self.working.shape(name)[-1:] != (self.factors.size,) or len(set(maker.inputs)) < len(
            maker.inputs
        ):
            return False
        match maker.op_type:
            case "LayerNormalization" | "RMSNormalization":
                is_last = maker.integer("axis", -1) in (-1, len(self.working.shape(name)) - 1)
                alone = not any(maker.outputs[1:])
                given = [i for i in range(1, len(maker.inputs)) if maker.inputs[i]]
                return is_last and alone and all(self._divide(maker, i) for i in given)
            case "Mul":
                return self._absorb_product(maker)
            case "Add" | "Sub":
                return all(self._divide(maker, i) or self.absorb(maker.inputs[i]) for i in (0, 1))
            case "Div":
                return self._divide(maker, 0) or self.absorb(maker.inputs[0])
            case "Relu":
                return self.absorb(maker.inputs[0])
            case "Gemm" | "MatMul":
                return self._absorb_weights(maker)
        return keeps_rows(self.working, maker) and self.absorb(maker.inputs[0])

    def _divide(self, operation: Operation, position: int, *, turned: bool = False) -> bool:
        """Divide a constant whose last axis (the one before where `turned`) is the channels, or one value."""
        content = self.working.constant(operation.inputs[position])
        if content is None or content.dtype != np.float32:
            return False
        factors = self.factors[:, None] if turned else self.factors
        if content.ndim and content.shape[-2 if turned else -1] not in (1, self.factors.size):
            return False
        self.edits.append((operation, position, content / factors))
        return True

    def _absorb_product(self, operation: Operation) -> bool:
        """One factor takes it: a constant, or what is behind one of the two."""
        for position in (0, 1):
            mark = len(self.edits)
            whole = self.working.shape(operation.inputs[position])[-1:] == (self.factors.size,)
            if self._divide(operation, position) or (whole and self.absorb(operation.inputs[position])):
                return True
            del self.edits[mark:]
        return False

    def _absorb_weights(self, operation: Operation) -> bool:
        weight = self.working.constant(operation.inputs[1])
        if weight is None or weight.ndim != 2 or operation.real("beta", 1.0) != 1.0:
            return False
        turned = bool(operation.integer("transB"))
        return self._divide(operation, 1, turned=turned) and (
            not operation.input(2) or self._divide(operation, 2)
        )
