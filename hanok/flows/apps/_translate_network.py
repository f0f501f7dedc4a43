"""Greedy translation of one sentence: two programs of a chip, and the tables that its host keeps."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.arrays import InputError, read_arrays
from hanok.isa import Program, ValueInfo

Array = npt.NDArray[Any]
Values = dict[str, Array]
Run = Callable[[Values], Values]
Shapes = Mapping[str, tuple[int, ...]]
HIDDEN_SCORE = np.float32(-1e4)
"""Added to the scores of places that hold nothing."""
SPARE_TOKENS, TOKENS_FOR_ONE = 12, 2
"""A translation ends at this many tokens, and this many for each token of the source, at the latest."""
TABLES_NAME, ABOUT_NAME = "rows.npz", "translate.toml"


@dataclass(frozen=True)
class Tables:
    """What a host looks up: rows of the embedding, rows of the positions, and the tokens with a meaning."""

    rows: Array
    """[vocabulary, width] float32."""
    positions: Array
    """[places, width] float32; a source and a translation have at most as many tokens."""
    start: int
    end: int
    pad: int
    placeholders: tuple[int, ...]
    longest_source: int
    """Tokens of a source, its end included."""


def read_tables(folder: Path) -> Tables:
    """Read rows.npz and translate.toml; InputError where they are not those of a translation network."""
    about = folder / ABOUT_NAME
    try:
        tokens = tomllib.loads(about.read_text(encoding="utf-8"))["tokens"]
        arrays = read_arrays(folder / TABLES_NAME)
        rows = arrays["rows"].astype(np.float32) * arrays["scales"].astype(np.float32)[:, None]
        positions = arrays["positions"].astype(np.float32)
        numbers = [int(tokens[name]) for name in ("start", "end", "pad", "longest_source")]
        placeholders = tuple(int(token) for token in tokens["placeholders"])
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{folder}: no translation model: {type(error).__name__} {str(error)[:100]}; a model is a folder "
            f"with {TABLES_NAME}, {ABOUT_NAME}, encoder.onnx, decoder.onnx and tokenizer.json"
        ) from None
    start, end, pad, longest = numbers
    fits = positions.ndim == 2 and positions.shape[1] == rows.shape[1] and 1 < longest <= len(positions)
    if not fits or not all(0 <= token < len(rows) for token in (start, end, pad, *placeholders)):
        raise InputError(
            f"{folder}: {TABLES_NAME} has {rows.shape[0]} rows of {rows.shape[1]} and positions "
            f"{list(positions.shape)}, which do not fit the tokens that {ABOUT_NAME} names"
        )
    return Tables(rows, positions, start, end, pad, placeholders, longest)


class SentenceMachine:
    """Runs the encoder once and the decoder token by token."""

    def __init__(self, tables: Tables, encode: Run, step: Run) -> None:
        self._tables = tables
        self._encode = encode
        self._step = step

    def translate(self, source: Sequence[int], copies: Sequence[int]) -> Iterator[int]:
        """The tokens of a translation, its end included where it comes before the places are used up.

        `source` ends with the end token; each of `copies`, its placeholders, is given exactly once.
        """
        tables = self._tables
        places = len(tables.positions)
        mask = _mask(np.arange(places) < len(source))
        filled_source = [*source, *[tables.pad] * (places - len(source))]
        rows = (tables.rows[filled_source] + tables.positions)[None]
        cross = self._encode({"rows": rows, "mask": mask})
        shapes = cache_shapes({name: value.shape for name, value in cross.items()})
        past = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        left, token = list(copies), tables.start
        room = min(places, TOKENS_FOR_ONE * len(source) + SPARE_TOKENS)
        for filled in range(room):
            seen = np.arange(places) < filled
            seen[-1] = True
            row = (tables.rows[token] + tables.positions[filled])[None, None]
            values = {"row": row, "mask": mask, "past_mask": _mask(seen), **past, **cross}
            outputs = self._step(values)
            token = self._choose(outputs["logits"].reshape(-1), left, room - filled, filled == 0)
            if token in left:
                left.remove(token)
            yield token
            if token == tables.end:
                return
            if filled < places - 1:
                for name, cache in past.items():
                    cache[:, :, filled] = outputs[name.replace("past", "new")][:, :, 0]

    def _choose(self, logits: Array, left: Sequence[int], room: int, first: bool) -> int:
        """The likeliest token, never an end as the first; a missing placeholder before an end is due."""
        tables = self._tables
        scores = logits.astype(np.float32)
        scores[[tables.start, tables.pad, *([tables.end] if first else [])]] = -np.inf
        scores[[token for token in tables.placeholders if token not in left]] = -np.inf
        token = int(np.argmax(scores))
        if left and (token == tables.end or (room <= len(left) + 1 and token not in left)):
            return max(left, key=lambda each: float(scores[each]))
        return token


def _mask(seen: Array) -> Array:
    return np.where(seen, np.float32(0), HIDDEN_SCORE).astype(np.float32)[None, None, None]


def cache_shapes(cross: Shapes) -> dict[str, tuple[int, ...]]:
    """Of the decoder's own keys and values: as many heads and layers as the encoder gives values for."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in cross.items():
        if name.startswith("cross.") and name.endswith(".values") and len(shape) == 4:
            _, heads, places, size = shape
            stem = name.replace("cross", "past").removesuffix("values")
            shapes |= dict.fromkeys((f"{stem}keys", f"{stem}values"), (1, heads, places - 1, size))
    return shapes


def check_programs(folder: Path, encoder: Program, decoder: Program, tables: Tables) -> None:
    """InputError unless both programs read and give what belongs to the tables and to each other."""
    places, width = tables.positions.shape
    mask = (1, 1, 1, places)
    cross = {info.name: tuple(info.shape) for info in encoder.outputs}
    past = cache_shapes(cross)
    step = {"row": (1, 1, width), "mask": mask, "past_mask": mask, **past, **cross}
    new = {name.replace("past", "new"): (*shape[:2], 1, shape[3]) for name, shape in past.items()}
    made = {"logits": (1, 1, len(tables.rows)), **new}
    _expect(folder / "encoder.onnx", "inputs", encoder.inputs, {"rows": (1, places, width), "mask": mask})
    _expect(folder / "decoder.onnx", "inputs", decoder.inputs, step)
    _expect(folder / "decoder.onnx", "outputs", decoder.outputs, made)


def _expect(path: Path, kind: str, infos: Sequence[ValueInfo], wanted: Shapes) -> None:
    found = {info.name: tuple(info.shape) for info in infos}
    if found != wanted:
        raise InputError(
            f"{path}: its {kind} are {_listed(found)}; a translation network's with these tables are "
            f"{_listed(wanted)}"
        )


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))[:400]
