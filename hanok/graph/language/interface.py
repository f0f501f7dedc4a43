"""How an ONNX decoder with key and value inputs is fed: found by names and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from onnx import ModelProto, ValueInfoProto, helper

from hanok.errors import UnsupportedError

FREE = 0
"""A dimension that the model leaves open."""
_CACHE_PREFIX = re.compile(r"(past|present|new)?_?key_values|kv_?cache", re.IGNORECASE)
_ROLES = {"key": "key", "keys": "key", "k": "key", "value": "value", "values": "value", "v": "value"}


@dataclass(frozen=True)
class Port:
    """An input or output: its name, NumPy type and shape (FREE where it is open)."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CachePair:
    """A cache of keys or values and the output that continues it."""

    past: Port
    present: Port


@dataclass(frozen=True)
class DecoderPorts:
    """The inputs and outputs of a decoder that reads one token."""

    ids: Port
    mask: Port | None
    positions: Port | None
    logits: Port
    caches: tuple[CachePair, ...]
    axis: int
    """Of the caches, along which tokens lie."""
    places: int
    """Tokens that the caches hold; FREE where the model leaves it open."""
    vocabulary: int


def decoder_ports(model: ModelProto, origin: str) -> DecoderPorts:
    """Recognise a decoder; UnsupportedError says what does not look like one."""
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [_port(value) for value in model.graph.input if value.name not in constants]
    outputs = [_port(value) for value in model.graph.output]
    caches = _pair_caches(inputs, outputs, origin)
    paired = {pair.past.name for pair in caches} | {pair.present.name for pair in caches}
    rest = [port for port in inputs if port.name not in paired]
    mask = _take(rest, lambda port: "mask" in port.name.lower())
    positions = _take(rest, lambda port: "pos" in port.name.lower())
    ids = _take(rest, lambda port: port.dtype in ("int64", "int32"))
    if ids is None or rest:
        found = f"no integer input for token ids besides {len(caches)} caches"
        if rest:
            found = f"input '{rest[0].name}' is neither ids, mask, positions nor a cache"
        raise UnsupportedError(f"{origin}: no decoder that can be run token by token: {found}")
    if any(size > 1 for size in ids.shape):
        raise UnsupportedError(
            f"{origin}: input '{ids.name}' takes {max(ids.shape)} tokens at once; allowed: one; export the "
            "decode step"
        )
    scores = [port for port in outputs if port.name not in paired and port.dtype.startswith("float")]
    logits = next((port for port in scores if "logit" in port.name.lower()), scores[0] if scores else None)
    if logits is None or not logits.shape or logits.shape[-1] == FREE:
        raise UnsupportedError(f"{origin}: no output with logits over a fixed vocabulary")
    axis, places = _cache_axis(caches, origin)
    if mask is None:
        raise UnsupportedError(
            f"{origin}: has no mask input, so its cache cannot be partly filled; export it with "
            "attention_mask"
        )
    _check_mask(mask, places, origin)
    return DecoderPorts(ids, mask, positions, logits, caches, axis, places, logits.shape[-1])


def _port(value: ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    sizes = [
        int(dimension.dim_value) if dimension.HasField("dim_value") else FREE for dimension in kind.shape.dim
    ]
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name if kind.elem_type else ""
    return Port(value.name, dtype, tuple(sizes))


def _take(ports: list[Port], wanted: Callable[[Port], bool]) -> Port | None:
    found = next((port for port in ports if wanted(port)), None)
    if found is not None:
        ports.remove(found)
    return found


def _role(name: str) -> tuple[int, str] | None:
    """(layer, key or value) as a name tells it: past_key_values.3.key, past_k_3, new_v_3, present.3.value."""
    words = re.findall(r"[a-z]+|\d+", _CACHE_PREFIX.sub(" ", name).lower())
    numbers = [int(word) for word in words if word.isdigit()]
    roles = {_ROLES[word] for word in words if word in _ROLES}
    return (numbers[0], roles.pop()) if numbers and len(roles) == 1 else None


def _pair_caches(inputs: list[Port], outputs: list[Port], origin: str) -> tuple[CachePair, ...]:
    """Pairs by layer and role where all names tell them, else in order where the shapes agree."""
    pasts = [port for port in inputs if port.dtype == "float32" and len(port.shape) == 4]
    presents = [port for port in outputs if port.dtype == "float32" and len(port.shape) == 4]
    if not pasts or len(pasts) != len(presents):
        raise UnsupportedError(
            f"{origin}: no decoder that can be run token by token: {len(pasts)} float32 inputs and "
            f"{len(presents)} outputs with four axes; allowed: a past and a present for each cache"
        )
    by_role = {_role(port.name): port for port in presents}
    roles = [_role(port.name) for port in pasts]
    if None not in by_role and len(by_role) == len(presents) and set(roles) == set(by_role):
        presents = [by_role[role] for role in roles]
    return tuple(CachePair(past, present) for past, present in zip(pasts, presents, strict=True))


def _cache_axis(caches: tuple[CachePair, ...], origin: str) -> tuple[int, int]:
    """The axis along which tokens lie, and how many the caches hold."""
    first = caches[0]
    axes = [axis for axis in (1, 2) if _grows(first, axis)]
    if not axes or any(not _grows(pair, axes[0]) or not _same_rest(pair, axes[0]) for pair in caches):
        raise UnsupportedError(
            f"{origin}: cache '{first.past.name}' {list(first.past.shape)} and '{first.present.name}' "
            f"{list(first.present.shape)}: allowed: an output with one token more than the input along axis "
            "1 or 2, or with the new token alone"
        )
    places = {pair.past.shape[axes[0]] for pair in caches}
    if len(places) != 1:
        raise UnsupportedError(f"{origin}: caches of {sorted(places)} tokens; allowed: one length")
    return axes[0], places.pop()


def _grows(pair: CachePair, axis: int) -> bool:
    """Whether the present has one token more than the past along an axis, or only the new one."""
    before, after = pair.past.shape[axis], pair.present.shape[axis]
    return before == FREE or (after in (1, before + 1) and before != after)


def _same_rest(pair: CachePair, axis: int) -> bool:
    sizes = [
        (before, after)
        for index, (before, after) in enumerate(zip(pair.past.shape, pair.present.shape, strict=True))
        if index != axis
    ]
    return all(before == after or (FREE in (before, after)) for before, after in sizes[1:])


def _check_mask(mask: Port, places: int, origin: str) -> None:
    length = mask.shape[-1] if mask.shape else -1
    if length not in (FREE, places + 1) and places != FREE:
        raise UnsupportedError(
            f"{origin}: mask '{mask.name}' has {length} columns; allowed: one for each of the {places} "
            "places of the cache and one for the new token"
        )
