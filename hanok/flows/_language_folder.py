"""A language model from its folder on a chip: the host's share of every step, and the programs it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows._repeated_program import Values
from hanok.flows._token_program import Cache, TokenProgram, bucket_of
from hanok.graph.language.build import (
    COSINE,
    HIDDEN,
    LOGITS,
    MASK,
    SINE,
    WINDOW_MASK,
    cache_names,
    new_names,
)
from hanok.graph.language.cache_scales import UNSCALED, CacheScales
from hanok.graph.language.names import Checkpoint
from hanok.graph.language.quantised import float_caches, refuse_large

Array = npt.NDArray[Any]
HIDDEN_SCORE = np.float32(-1e4)
"""What a mask adds to a score that must not count."""
CALIBRATION_TOKENS = 64
"""Of each calibration text, at most."""
CALIBRATION_STEPS = 4
"""Places of each calibration text at which a decode step is looked at."""


@dataclass(frozen=True)
class ProgramRequest:
    """A model to compile: `rows` tokens behind `past` cached ones, and the samples to quantise it with.

    `scales`: what its caches, those of the samples too, are divided by.
    """

    kind: str
    checkpoint: Checkpoint
    rows: int
    past: int
    samples: list[Values]
    scales: CacheScales = UNSCALED

    @property
    def length(self) -> int:
        """Tokens that it sees."""
        return self.past + self.rows


@dataclass(frozen=True)
class Feed:
    """Makes a model's inputs from token ids: what a driver does on the host."""

    checkpoint: Checkpoint

    def prefill(self, ids: Sequence[int], length: int) -> Values:
        """Inputs of a prefill model; a shorter prompt stands at its end, so that the last token is last."""
        pad = length - len(ids)
        hidden = np.zeros((1, length, self.checkpoint.decoder.width), np.float32)
        hidden[0, pad:] = self.checkpoint.embed(ids, range(len(ids)))
        row, column = np.arange(length)[:, None], np.arange(length)[None]
        seen = (column <= row) & (column >= pad)
        return self._values(hidden, np.maximum(np.arange(length) - pad, 0), seen, row - column)

    def decode(self, token: int, caches: Values, filled: int, places: int) -> Values:
        """Inputs of a decode model: one token behind `filled` tokens in `places` places."""
        hidden = self.checkpoint.embed([token], [filled])[None]
        column = np.append(np.arange(places), filled)[None]
        seen = column < filled
        seen[0, -1] = True
        return {**self._values(hidden, np.array([filled]), seen, filled - column), **caches}

    def empty_cache(self) -> Cache:
        """A cache without places."""
        decoder = self.checkpoint.decoder
        names = [name for layer in range(decoder.layers) for name in cache_names(layer)]
        return Cache(dict.fromkeys(names, (1, decoder.key_heads, 0, decoder.head_size)), axis=2)

    def new_rows(self, outputs: Values, count: int) -> Values:
        """The keys and values of the last `count` tokens, under the names of their caches."""
        pairs = [
            pair
            for layer in range(self.checkpoint.decoder.layers)
            for pair in zip(cache_names(layer), new_names(layer), strict=True)
        ]
        return {cache: outputs[new][:, :, -count:] for cache, new in pairs}

    def _values(self, hidden: Array, positions: Array, seen: Array, distance: Array) -> Values:
        decoder = self.checkpoint.decoder
        values: Values = {HIDDEN: hidden}
        if decoder.rotary is not None:
            cosine, sine = decoder.rotary.angles(positions)
            values |= {COSINE: cosine[None, :, None], SINE: sine[None, :, None]}
        windows = set(decoder.windows) - {0}
        if not windows or 0 in decoder.windows:
            values[MASK] = _additive(seen)
        for window in windows:
            values[WINDOW_MASK] = _additive(seen & (distance < window))
        return values


def _additive(seen: Array) -> Array:
    return np.where(seen, np.float32(0), HIDDEN_SCORE)[None, None, None]


class FolderMachine:
    """Reads a prompt with one program, and makes each further token with another.

    A text has one decode program, which sees as many tokens as the whole text will have, so that it waits for
    two programs however long it is; its first steps look at places that are still empty.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        texts: Sequence[Sequence[int]],
        *,
        compile: Callable[[ProgramRequest], TokenProgram],
    ) -> None:
        refuse_large(checkpoint.decoder)
        self.checkpoint = checkpoint
        self.context = checkpoint.decoder.context
        self.vocabulary = checkpoint.decoder.vocabulary
        self.programs: list[TokenProgram] = []
        self._compile = compile
        self._feed = Feed(checkpoint)
        self._texts = [list(ids[: min(CALIBRATION_TOKENS, self.context)]) for ids in texts]
        self._caches: list[Values] = []
        self._scales: CacheScales | None = None
        self._cache = self._feed.empty_cache()

    def prepare(self, prompt: int, expected: int) -> None:
        """Compile the program that reads a prompt, and the one that continues it up to `expected` tokens."""
        self._program("prefill", bucket_of(prompt, self.context))
        last = min(expected - 1, self.context)
        if last > prompt:
            self._program("decode", self._decode_length(last))

    def begin(self, ids: Sequence[int]) -> Array:
        """Read a prompt; return the logits of what comes next."""
        length = bucket_of(len(ids), self.context)
        outputs = self._program("prefill", length).run(self._feed.prefill(ids, length))
        self._cache = self._feed.empty_cache()
        self._cache.append(self._feed.new_rows(outputs, len(ids)))
        return _logits(outputs)

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of what comes next."""
        filled = self._cache.filled
        length = self._decode_length(filled + 1)
        places = length - 1
        caches = self._cache_scales().divide(self._cache.view(places))
        values = self._feed.decode(token, caches, filled, places)
        outputs = self._program("decode", length).run(values)
        self._cache.append(self._feed.new_rows(outputs, 1))
        return _logits(outputs)

    def _decode_length(self, seen: int) -> int:
        """Of the shortest decode program that sees so many tokens, or of the one to make."""
        lengths = [program.length for program in self.programs if program.kind == "decode"]
        return min((length for length in lengths if length >= seen), default=bucket_of(seen, self.context))

    def _program(self, kind: str, length: int) -> TokenProgram:
        for program in self.programs:
            if (program.kind, program.length) == (kind, length):
                return program
        if kind == "prefill":
            samples = [self._feed.prefill(ids[:length], length) for ids in self._texts]
            program = self._compile(ProgramRequest(kind, self.checkpoint, length, 0, samples))
        else:
            samples = self._decode_samples(length - 1)
            scales = self._cache_scales()
            program = self._compile(ProgramRequest(kind, self.checkpoint, 1, length - 1, samples, scales))
        self.programs.append(program)
        return program

    def _decode_samples(self, places: int) -> list[Values]:
        """Steps at a few places of each calibration text, behind the caches that the float model makes."""
        samples = []
        for ids, rows in zip(self._texts, self._float_caches(), strict=True):
            last = min(len(ids) - 1, places)
            for filled in sorted({int(at) for at in np.linspace(min(1, last), last, CALIBRATION_STEPS)}):
                cache = self._feed.empty_cache()
                if filled:
                    cache.append({name: value[:, :, :filled] for name, value in rows.items()})
                caches = self._cache_scales().divide(cache.view(places))
                samples.append(self._feed.decode(ids[filled], caches, filled, places))
        return samples

    def _cache_scales(self) -> CacheScales:
        """Of each head of keys and values, by the calibration texts."""
        if self._scales is None:
            self._scales = CacheScales.of(self._float_caches())
        return self._scales

    def _float_caches(self) -> list[Values]:
        """Keys and values of every calibration text, by the float model in ONNX Runtime."""
        if not self._caches:
            length = max(len(ids) for ids in self._texts)
            feeds = [self._feed.prefill(ids, length) for ids in self._texts]
            outputs = float_caches(self.checkpoint, length, feeds)
            self._caches = [
                self._feed.new_rows(values, len(ids))
                for values, ids in zip(outputs, self._texts, strict=True)
            ]
        return self._caches


def _logits(outputs: Values) -> Array:
    return outputs[LOGITS].reshape(-1)
