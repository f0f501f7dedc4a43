"""Calibration samples: the user's, brought to the model's inputs, or seeded random ones that fit them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from math import prod

import numpy as np
from onnx import ModelProto, TensorProto, helper

from hanok.errors import ModelError, UnsupportedError
from hanok.graph._working import Array, Operation, WorkingGraph

RANDOM_SAMPLES = 4
MOST_RANDOM_SAMPLES = 64
ENOUGH_ROWS = 2048
"""Rows that a transformer's products should see: random samples grow in number until there are so many."""
INTEGER_LIMIT = 16
"""Random integers stay below this where nothing in the model tells their range."""
Sample = dict[str, Array]

_PASSES_ON = frozenset(
    {
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Identity",
        "Reshape",
        "Slice",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)


def shapes_in_samples(
    model: ModelProto, calibration: Mapping[str, Array] | Sequence[Mapping[str, Array]] | None
) -> dict[str, tuple[int, ...]]:
    """Shapes for inputs with free dimensions, as the calibration data has them.

    A mapping may hold several samples along its first axis; so a free first dimension is 1 there.
    """
    if not calibration:
        return {}
    joined = isinstance(calibration, Mapping)
    sample = calibration if isinstance(calibration, Mapping) else calibration[0]
    shapes: dict[str, tuple[int, ...]] = {}
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        if value.name not in sample or all(dimension.HasField("dim_value") for dimension in dimensions):
            continue
        found = np.shape(sample[value.name])
        if joined and len(found) == len(dimensions) + 1:
            found = found[1:]
        elif joined and len(found) == len(dimensions) and not dimensions[0].HasField("dim_value"):
            found = (1, *found[1:])
        shapes[value.name] = found
    return shapes


def given_samples(
    working: WorkingGraph, calibration: Mapping[str, Array] | Iterable[Mapping[str, Array]]
) -> list[Sample]:
    """The user's samples, checked; a mapping of arrays is cut along its leading axis."""
    if isinstance(calibration, Mapping):
        _check_names(working, calibration, "calibration data")
        parts = {name: _cut(working, name, np.asarray(value)) for name, value in calibration.items()}
        counts = {name: len(items) for name, items in parts.items()}
        if len(set(counts.values())) > 1:
            raise ModelError(f"calibration data: inputs have different numbers of samples: {counts}")
        rows = [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
    else:
        rows = []
        for index, sample in enumerate(calibration):
            _check_names(working, sample, f"calibration sample {index}")
            rows.append({name: np.asarray(value) for name, value in sample.items()})
    if not rows:
        raise ModelError("calibration data: there is no sample in it; give at least one, or none at all")
    return [
        {name: _fitted(working, name, row[name], f"calibration sample {index}") for name in working.inputs}
        for index, row in enumerate(rows)
    ]


def random_samples(working: WorkingGraph, seed: int, count: int = RANDOM_SAMPLES) -> list[Sample]:
    """Seeded samples: normal floats, indices within their tables, ascending positions, masks that let
    everything through."""
    random = np.random.default_rng(seed)
    readers = working.consumers()
    return [{name: _random(working, readers, name, random) for name in working.inputs} for _ in range(count)]


def samples_for_rows(working: WorkingGraph) -> int:
    """How many random samples give a transformer's products ENOUGH_ROWS: one token at a time needs more."""
    rows = [
        prod(working.shape(operation.inputs[0])[:-1])
        for operation in working.operations
        if operation.op_type in ("Gemm", "MatMul") and operation.inputs[1] in working.constants
    ]
    wanted = -(-ENOUGH_ROWS // max(rows, default=ENOUGH_ROWS))
    return min(max(wanted, RANDOM_SAMPLES), MOST_RANDOM_SAMPLES)


def _check_names(working: WorkingGraph, names: Iterable[str], where: str) -> None:
    found = list(names)
    missing = [name for name in working.inputs if name not in found]
    unknown = [name for name in found if name not in working.inputs]
    if missing or unknown:
        problem = (
            f"input '{missing[0]}' is missing" if missing else f"'{unknown[0]}' is no input of the model"
        )
        raise ModelError(f"{where}: {problem}; the model's inputs: {', '.join(working.inputs)}")


def _cut(working: WorkingGraph, name: str, value: Array) -> list[Array]:
    """Cut an array of several samples: [N, *shape], or [N * batch, ...] where the shape is [batch, ...]."""
    shape = working.shape(name)
    if value.shape == shape:
        return [value]
    if value.ndim == len(shape) + 1 and value.shape[1:] == shape:
        return list(value)
    if shape and value.shape[1:] == shape[1:] and value.shape[0] % shape[0] == 0:
        return np.split(value, value.shape[0] // shape[0])
    raise ModelError(
        f"calibration data: input '{name}' has shape {list(value.shape)}; allowed: {list(shape)}, or several "
        "such samples joined or stacked along the first axis"
    )


def _fitted(working: WorkingGraph, name: str, value: Array, where: str) -> Array:
    shape = working.shape(name)
    wanted = helper.tensor_dtype_to_np_dtype(working.types[name])
    if value.shape != shape:
        raise ModelError(
            f"{where}: input '{name}' has shape {list(value.shape)}; the model takes {list(shape)}"
        )
    if value.dtype != wanted and not np.can_cast(value.dtype, wanted, "same_kind"):
        raise ModelError(f"{where}: input '{name}' has {value.dtype} elements; the model takes {wanted}")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ModelError(f"{where}: input '{name}' holds infinite values or NaN; give finite ones")
    return np.ascontiguousarray(value, dtype=wanted).reshape(shape)


def _random(
    working: WorkingGraph, readers: dict[str, list[Operation]], name: str, random: np.random.Generator
) -> Array:
    shape, element_type = working.shape(name), working.types[name]
    if element_type in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        raise UnsupportedError(
            f"input '{name}': there is no random data of type {TensorProto.DataType.Name(element_type)}; "
            "give calibration data"
        )
    wanted = helper.tensor_dtype_to_np_dtype(element_type)
    if element_type == TensorProto.BOOL:
        return np.ones(shape, bool)
    if element_type == TensorProto.UINT8:
        return random.integers(0, 256, shape).astype(np.uint8)
    if np.issubdtype(wanted, np.integer):
        return _random_integers(working, readers, name, random).astype(wanted)
    return random.standard_normal(shape, dtype=np.float32).astype(wanted)


def _random_integers(
    working: WorkingGraph, readers: dict[str, list[Operation]], name: str, random: np.random.Generator
) -> Array:
    """Indices or masks; positions ascend along the last axis from a random start."""
    shape = working.shape(name)
    low, high = _integer_range(working, readers, name)
    if not shape or not _is_position(readers, name):
        return random.integers(low, high, shape)
    length = shape[-1]
    start = random.integers(low, max(high - length, low) + 1, (*shape[:-1], 1))
    positions: Array = np.minimum(start + np.arange(length), max(high, length) - 1)
    return positions


def _is_position(readers: dict[str, list[Operation]], name: str) -> bool:
    """Whether an input holds positions: by its name, or because angles are made of it."""
    if "position" in name.lower() or name.lower().split("_")[0].split(".")[0] == "pos":
        return True
    passes = (*_PASSES_ON, "Mul", "MatMul")
    return any(reader.op_type in ("Cos", "Sin") for _, reader in _readers_behind(readers, name, passes))


def _readers_behind(
    readers: dict[str, list[Operation]], name: str, passes: Container[str]
) -> Iterator[tuple[str, Operation]]:
    """Every value that operations of the kinds `passes` make of `name`, with each of its readers."""
    seen, waiting = set(), [name]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        for reader in readers.get(value, []):
            yield value, reader
            if reader.op_type in passes and not reader.domain:
                waiting += reader.outputs


def _integer_range(working: WorkingGraph, readers: dict[str, list[Operation]], name: str) -> tuple[int, int]:
    """What an integer input may hold: indices of the smallest table that it selects from, or a mask."""
    limits: list[int] = []
    is_mask = False
    for value, reader in _readers_behind(readers, name, _PASSES_ON):
        if reader.op_type == "Gather" and reader.input(1) == value:
            limits.append(working.shape(reader.inputs[0])[reader.integer("axis")])
        elif reader.op_type == "Cast" and reader.integer("to") == TensorProto.BOOL:
            is_mask = True
    if limits:
        return 0, max(1, min(limits))
    return (1, 2) if is_mask else (0, INTEGER_LIMIT)
