"""Marks in int8 weights: steps of one on pairs that a secret chooses, read against the original."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanok.graph.weights import WeightTensor, read_weights, replace_weights
from hanok.protect._align import align
from hanok.protect._keyed import keyed_order, keyed_words
from hanok.protect.carrier import Bits, Evidence
from hanok.protect.tardos import FingerprintError

LEAST_MARKS, MOST_MARKS = 1024, 4096
PAIRS = 4
"""Of weights for a mark. 1024 marks of 4 pairs name one of 1,000 through noise of 8 steps (benchmarks)."""
LOWEST, HIGHEST = 2, 126
"""Magnitudes that are moved: no zero appears or disappears, nothing saturates, a channel keeps its range."""
LEAST_RMS = 8
"""Steps; in a channel of smaller weights a step is too large a part of the signal."""
_LEAST_CHANNEL = 8
"""Weights of an output channel that is used at all."""
_LEAST_LIKENESS = 0.2
"""Of a suspect's tensor, aligned, with the original; below it, it is another tensor."""
_CLIP = 4.0
_LEAST_VARIANCE = 0.25


@dataclass(frozen=True)
class WeightMarks:
    """Room for marks in the int8 weights of one model; a Carrier.

    A mark is 4 pairs of weights; both of a pair lie in one output channel, one goes a step up and the
    other a step down, or for the other bit the other way. The mean of a channel stays as it is, which matters
    where activations have one. Only the larger half of a channel's weights is used: magnitude pruning leaves
    them, and of all channels rather the louder ones, where a step is the least part of the signal. Which, in
    which order and which way round, the secret decides.
    """

    path: Path
    secret: bytes = field(repr=False)

    @cached_property
    def _tensors(self) -> dict[str, WeightTensor]:
        found = {tensor.name: tensor for tensor in read_weights(self.path) if tensor.is_int8}
        if not found:
            raise FingerprintError(
                f"{self.path}: no int8 weights; quantise the model first and mark the result"
            )
        return found

    @cached_property
    def subject(self) -> str:
        """A digest of the int8 weights and their names."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in self._tensors.items():
            digest.update(f"{name!r} {tensor.values.shape}".encode() + tensor.values.tobytes())
        return f"weights {digest.hexdigest()}"

    @cached_property
    def _pairs(self) -> npt.NDArray[np.int64]:
        """Pairs that may be moved, in the secret's order: numbers of weights, counted through all tensors."""
        start, found, loudness = 0, [np.zeros((0, 2), np.int64)], [np.zeros(0)]
        for tensor in self._tensors.values():
            pairs, loud = self._pairs_of(tensor)
            found.append(start + pairs)
            loudness.append(loud)
            start += tensor.values.size
        loudest = np.argsort(-np.concatenate(loudness), kind="stable")
        kept = np.concatenate(found)[loudest[: max(len(loudest) // 2, PAIRS * MOST_MARKS)]]
        return kept[keyed_order(self.secret, ("pairs", self.subject), len(kept))]

    def _pairs_of(self, tensor: WeightTensor) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Pairs of one tensor, and the root mean square of the channel of each."""
        rows = tensor.values.reshape(len(tensor.values), -1).astype(np.int16)
        width = rows.shape[1]
        half = width // 4 * 2
        if width < _LEAST_CHANNEL or not len(rows):
            return np.zeros((0, 2), np.int64), np.zeros(0)
        size = np.abs(rows)
        movable = (size >= LOWEST) & (size <= HIGHEST)
        largest = np.argsort(np.where(movable, -size, 1), axis=1, kind="stable")[:, :half]
        labels = ("places", self.subject, tensor.name)
        drawn = keyed_words(self.secret, labels, largest.size).reshape(largest.shape)
        shuffled = np.take_along_axis(largest, np.argsort(drawn, axis=1, kind="stable"), axis=1)
        pairs = (shuffled + np.arange(len(rows))[:, None] * width).reshape(-1, 2)
        loud = np.repeat(np.sqrt((rows.astype(np.float64) ** 2).mean(axis=1)), half // 2)
        usable = movable.ravel()[pairs].all(axis=1) & (loud >= LEAST_RMS)
        return pairs[usable].astype(np.int64), loud[usable]

    @property
    def marks(self) -> int:
        """How many marks there is room for."""
        room = len(self._pairs) // PAIRS
        if room < LEAST_MARKS:
            raise FingerprintError(
                f"{self.path}: room for {room} marks in its int8 weights, at least {LEAST_MARKS} are needed "
                f"to name a leaker after an attack; that is about {LEAST_MARKS * PAIRS * 4:,} weights. "
                "Mark a larger model, or the specification that goes with it"
            )
        return min(room, MOST_MARKS)

    @property
    def _places(self) -> npt.NDArray[np.int64]:
        """Weights of each mark, [marks, pairs, 2]: the first of a pair goes up for a 1."""
        return self._pairs[: self.marks * PAIRS].reshape(self.marks, PAIRS, 2)

    def embed(self, bits: Bits) -> Mapping[str, bytes]:
        """Return the model's files with the marks in them."""
        flat = np.concatenate([tensor.values.ravel() for tensor in self._tensors.values()])
        step = np.where(bits == 1, 1, -1).astype(np.int8)[:, None]
        places = self._places
        flat[places[:, :, 0]] += step
        flat[places[:, :, 1]] -= step
        values, start = {}, 0
        for name, tensor in self._tensors.items():
            values[name] = flat[start : start + tensor.values.size].reshape(tensor.values.shape)
            start += tensor.values.size
        return replace_weights(self.path, values)

    def read(self, suspect: Path) -> Evidence:
        """Return the evidence of a suspect model, which may hold its weights in any order, scale and type."""
        moved = self._moved(read_weights(suspect))
        places = self._places
        steps = moved[places[:, :, 0]], -moved[places[:, :, 1]]
        both = np.concatenate(steps, axis=1)
        lost = np.isnan(both)
        evidence = np.tanh(np.where(lost, 0.0, both).sum(axis=1))
        return np.where(lost.all(axis=1), np.nan, evidence)

    def _moved(self, suspect: tuple[WeightTensor, ...]) -> npt.NDArray[np.float64]:
        """How far each weight was moved, over the variance of its tensor; NaN where it is not to be seen."""
        found: list[npt.NDArray[np.float64]] = []
        free = list(suspect)
        for tensor in self._tensors.values():
            best, values = None, np.full(tensor.values.size, np.nan)
            for candidate in _candidates(tensor, free):
                likeness, seen = _difference(tensor, candidate)
                if likeness > max(_LEAST_LIKENESS, best[0] if best else 0.0):
                    best, values = (likeness, candidate), seen
                if likeness > 0.5:
                    break
            if best:
                free = [each for each in free if each.name != best[1].name]
            found.append(values)
        return np.concatenate(found)


def _candidates(tensor: WeightTensor, free: list[WeightTensor]) -> list[WeightTensor]:
    """Tensors of the suspect that may be `tensor`: of its shape, also turned round; its namesake first."""
    shape = tensor.values.shape
    fitting = [each for each in free if each.values.shape == shape]
    if len(shape) == 2:
        turned = [each for each in free if each.values.shape == shape[::-1] and shape[0] != shape[1]]
        fitting += [WeightTensor(each.name, each.values.T) for each in turned]
    return sorted(fitting, key=lambda each: each.name != tensor.name)


def _difference(tensor: WeightTensor, suspect: WeightTensor) -> tuple[float, npt.NDArray[np.float64]]:
    """Likeness of a suspect's tensor, and how far each weight was moved, over the variance of all."""
    shape = (*tensor.values.shape[:2], -1)
    original = tensor.values.reshape(shape).astype(np.float64)
    aligned = align(original, suspect.values.reshape(shape).astype(np.float64))
    difference = (aligned.values - original).ravel()
    pruned = (aligned.values.ravel() == 0) & (np.abs(original.ravel()) > 1)
    seen = difference[~pruned]
    spread = max(0.5, 1.4826 * float(np.median(np.abs(seen)))) if len(seen) else 1.0
    limited = np.clip(difference, -_CLIP * spread, _CLIP * spread)
    variance = max(_LEAST_VARIANCE, float((limited[~pruned] ** 2).mean())) if len(seen) else 1.0
    return aligned.likeness, np.where(pruned, np.nan, limited / variance)
