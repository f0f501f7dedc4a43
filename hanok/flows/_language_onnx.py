"""An ONNX decoder on a chip: its one program reads the prompt and makes the text, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows._repeated_program import Values
from hanok.flows._token_program import Cache, Compile, TokenProgram, bucket_of
from hanok.graph.language.interface import FREE, Port, decoder_ports

Array = npt.NDArray[Any]
LONGEST_OPEN_CONTEXT = 4096
"""Tokens of a model that leaves the length of its cache open."""
CALIBRATION_TOKENS = 16
HIDDEN_SCORE = np.float32(-1e4)


class OnnxMachine:
    """Feeds one token at a time; where the model leaves its cache's length open, a power of two holds it."""

    def __init__(self, path: Path, *, seed: int, compile: Compile) -> None:
        from hanok.graph import load_model
        from hanok.graph.quantise import is_quantised

        model = load_model(path)
        self.ports = decoder_ports(model, str(path))
        self.vocabulary = self.ports.vocabulary
        self.places = self.ports.places
        self.context = LONGEST_OPEN_CONTEXT if self.places == FREE else self.places + 1
        self.programs: list[TokenProgram] = []
        self._compile = compile
        self._model = model.SerializeToString()
        self._quantised = is_quantised(model)
        random = np.random.default_rng(seed).integers(0, self.vocabulary, CALIBRATION_TOKENS).tolist()
        self.calibrate_with([random])
        self._cache = self._empty_cache()

    def calibrate_with(self, texts: Sequence[Sequence[int]]) -> None:
        """Measure activations on these token ids, not on random ones."""
        most = min(CALIBRATION_TOKENS, self.context)
        self._texts = [list(ids[:most]) for ids in texts]

    def prepare(self, prompt: int, expected: int) -> None:
        """Compile the program that holds `expected` tokens, as far as the model's cache does."""
        if self.ports.places == FREE:
            self.places = bucket_of(max(prompt, expected - 1, CALIBRATION_TOKENS), self.context) - 1
        if not any(program.length == self.places + 1 for program in self.programs):
            samples = [] if self._quantised else self._samples()
            self.programs.append(self._compile("decode", self.places + 1, self._model, samples))

    def begin(self, ids: Sequence[int]) -> Array:
        """Read a prompt token by token; return the logits of what comes next."""
        self._cache = self._empty_cache()
        for token in ids[:-1]:
            self.step(token)
        return self.step(ids[-1])

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of what comes next."""
        program = next(program for program in self.programs if program.length == self.places + 1)
        outputs = program.run(self._inputs(token, self._cache))
        self._cache.append(self._new_rows(outputs))
        return outputs[self.ports.logits.name].reshape(-1)

    def _empty_cache(self) -> Cache:
        ports = self.ports
        shapes = {}
        for pair in ports.caches:
            shape = [size or 1 for size in pair.past.shape]
            shape[ports.axis] = 0
            shapes[pair.past.name] = tuple(shape)
        return Cache(shapes, ports.axis)

    def _inputs(self, token: int, cache: Cache) -> Values:
        ports, filled = self.ports, cache.filled
        values: Values = {ports.ids.name: _filled(ports.ids, token)}
        if ports.positions is not None:
            values[ports.positions.name] = _filled(ports.positions, filled)
        if ports.mask is not None:
            seen = np.arange(self.places + 1) < filled
            seen[-1] = True
            values[ports.mask.name] = _mask(ports.mask, seen)
        return {**values, **cache.view(self.places)}

    def _new_rows(self, outputs: Values) -> Values:
        axis = self.ports.axis
        return {pair.past.name: np.take(outputs[pair.present.name], [-1], axis) for pair in self.ports.caches}

    def _samples(self) -> list[Values]:
        """Every step of the calibration texts, run by the float model in ONNX Runtime."""
        from hanok.graph.oracle import reference_session, run_session

        session = reference_session(self._model)
        samples = []
        for ids in self._texts:
            cache = self._empty_cache()
            for token in ids:
                samples.append({name: value.copy() for name, value in self._inputs(token, cache).items()})
                cache.append(self._new_rows(run_session(session, samples[-1])))
        return samples


def _filled(port: Port, value: int) -> Array:
    """One number in the shape of a port."""
    return np.full([size or 1 for size in port.shape], value, port.dtype)


def _mask(port: Port, seen: Array) -> Array:
    """Visible places as 1 and 0, or as what is added to scores where a float mask has four axes."""
    content = seen.astype(port.dtype)
    if port.dtype.startswith("float") and len(port.shape) > 2:
        content = np.where(seen, np.float32(0), HIDDEN_SCORE).astype(port.dtype)
    return content.reshape([1] * (len(port.shape) - 1) + [-1])
