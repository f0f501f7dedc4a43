"""What each kind of decoder calls its weights and how it lays them out; here they have one set of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanok.errors import ModelError
from hanok.graph.language.config import Decoder, read_decoder
from hanok.graph.language.safetensors import Weights, open_weights

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Names:
    """Names of one kind; those of a layer stand behind `layer` with its number."""

    root: str
    """A prefix that checkpoints of the bare model leave out."""
    embedding: str
    layer: str
    final_norm: str
    parts: dict[str, str]
    transposed: bool = True
    """Matrices are [outputs, inputs]."""
    packed: bool = False
    """Queries, keys and values are one matrix."""


_LLAMA_PARTS = {
    "input_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
    "inner_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "post_attention_norm": "post_norm1",
    "post_inner_norm": "post_norm2",
}
_LLAMA = _Names("model.", "embed_tokens", "layers.{}.", "norm", _LLAMA_PARTS)
_EXAONE = _Names(
    "transformer.",
    "wte",
    "h.{}.",
    "ln_f",
    {
        "input_norm": "ln_1",
        "query": "attn.attention.q_proj",
        "key": "attn.attention.k_proj",
        "value": "attn.attention.v_proj",
        "output": "attn.attention.out_proj",
        "inner_norm": "ln_2",
        "gate": "mlp.c_fc_0",
        "up": "mlp.c_fc_1",
        "down": "mlp.c_proj",
    },
)
_GPTJ = _Names(
    "transformer.",
    "wte",
    "h.{}.",
    "ln_f",
    {
        "input_norm": "ln_1",
        "query": "attn.q_proj",
        "key": "attn.k_proj",
        "value": "attn.v_proj",
        "output": "attn.out_proj",
        "up": "mlp.fc_in",
        "down": "mlp.fc_out",
    },
)
_GPT2 = _Names(
    "transformer.",
    "wte",
    "h.{}.",
    "ln_f",
    {
        "input_norm": "ln_1",
        "packed": "attn.c_attn",
        "output": "attn.c_proj",
        "inner_norm": "ln_2",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    },
    transposed=False,
    packed=True,
)
_BY_KIND = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "hyperclovax"), _LLAMA),
    "exaone": _EXAONE,
    "gptj": _GPTJ,
    "gpt2": _GPT2,
}
_HEAD = "lm_head"
_POSITIONS = "wpe"


@dataclass(frozen=True)
class Linear:
    """A matrix [inputs, outputs] and what is added behind it."""

    matrix: Floats
    bias: Floats | None

    def scaled(self, factor: float) -> Linear:
        """Both times a factor."""
        if factor == 1.0:
            return self
        bias = None if self.bias is None else self.bias * np.float32(factor)
        return Linear(self.matrix * np.float32(factor), bias)

    def columns(self, start: int, end: int) -> Linear:
        """What makes the columns start..end - 1 of the result; itself where these are all."""
        if (start, end) == (0, self.matrix.shape[1]):
            return self
        return Linear(self.matrix[:, start:end], None if self.bias is None else self.bias[start:end])


@dataclass(frozen=True)
class Norm:
    """Gain and shift of a normalisation."""

    gain: Floats
    shift: Floats | None


class Checkpoint:
    """A decoder and its weights, asked for by part; every shape is held against the configuration."""

    def __init__(self, decoder: Decoder, weights: Weights) -> None:
        self.decoder = decoder
        self.weights = weights
        self._names = _BY_KIND[decoder.kind]
        bare = f"{self._names.embedding}.weight"
        self._root = "" if bare in weights else self._names.root
        self._check_embedding()

    def embed(self, ids: Sequence[int], positions: Sequence[int]) -> Floats:
        """What the first layer reads, [tokens, width]; only these rows are read from the file."""
        rows = self.weights.rows(self._embedding, ids) * np.float32(self.decoder.embedding_multiplier)
        if self.decoder.learned_positions:
            rows = rows + self.weights.rows(f"{self._root}{_POSITIONS}.weight", positions)
        return rows

    def head(self, start: int, end: int) -> Linear:
        """From the last layer's width to logits start..end - 1; rows of the embedding where they are tied."""
        decoder = self.decoder
        name = f"{_HEAD}.weight"
        if name not in self.weights and not decoder.tied:
            raise ModelError(
                f"{self.weights.folder}: no file has tensor '{name}', and config.json does not tie it to the "
                "embedding"
            )
        name = self._embedding if decoder.tied else name
        self._expect(name, (decoder.vocabulary, decoder.width))
        bias = None if decoder.tied else self._optional(f"{_HEAD}.bias", (decoder.vocabulary,))
        matrix = self.weights.rows(name, range(start, end)).T
        return Linear(matrix, None if bias is None else bias[start:end]).scaled(decoder.logits_multiplier)

    def final_norm(self) -> Norm:
        """The normalisation before the head."""
        return self._norm(f"{self._root}{self._names.final_norm}", self.decoder.width)

    def norm(self, layer: int, part: str) -> Norm:
        """A normalisation of a layer: over the width, or over a head's elements."""
        size = self.decoder.head_size if part in ("query_norm", "key_norm") else self.decoder.width
        return self._norm(self._name(layer, part), size)

    def linear(self, layer: int, part: str, inputs: int, outputs: int) -> Linear:
        """A matrix of a layer as [inputs, outputs]."""
        name = self._name(layer, part)
        weight = f"{name}.weight"
        if self._names.transposed:
            self._expect(weight, (outputs, inputs))
            matrix = self.weights.read(weight).T
        else:
            self._expect(weight, (inputs, outputs))
            matrix = self.weights.read(weight)
        return Linear(matrix, self._optional(f"{name}.bias", (outputs,)))

    def attention_inputs(self, layer: int) -> tuple[Linear, Linear, Linear]:
        """The matrices that make queries, keys and values."""
        decoder = self.decoder
        widths = [decoder.heads * decoder.head_size] + 2 * [decoder.key_heads * decoder.head_size]
        if not self._names.packed:
            parts = zip(("query", "key", "value"), widths, strict=True)
            query, key, value = (self.linear(layer, part, decoder.width, width) for part, width in parts)
            return query, key, value
        packed = self.linear(layer, "packed", decoder.width, sum(widths))
        cuts = np.cumsum(widths[:-1])
        matrices = np.split(packed.matrix, cuts, 1)
        biases = [None] * 3 if packed.bias is None else np.split(packed.bias, cuts)
        query, key, value = (Linear(m, b) for m, b in zip(matrices, biases, strict=True))
        return query, key, value

    @property
    def _embedding(self) -> str:
        return f"{self._root}{self._names.embedding}.weight"

    def _name(self, layer: int, part: str) -> str:
        return f"{self._root}{self._names.layer.format(layer)}{self._names.parts[part]}"

    def _norm(self, name: str, size: int) -> Norm:
        self._expect(f"{name}.weight", (size,))
        gain = self.weights.read(f"{name}.weight")
        if self.decoder.norm == "rms":
            return Norm(gain, None)
        return Norm(gain, self._optional(f"{name}.bias", (size,)))

    def _optional(self, name: str, shape: tuple[int, ...]) -> Floats | None:
        if name not in self.weights:
            return None
        self._expect(name, shape)
        return self.weights.read(name)

    def _check_embedding(self) -> None:
        decoder = self.decoder
        self._expect(self._embedding, (decoder.vocabulary, decoder.width))
        if decoder.learned_positions:
            self._expect(f"{self._root}{_POSITIONS}.weight", (decoder.context, decoder.width))

    def _expect(self, name: str, shape: tuple[int, ...]) -> None:
        found = self.weights.shape(name)
        if found != shape:
            raise ModelError(
                f"{self.weights.folder}: tensor '{name}' has shape {list(found)}; config.json asks for "
                f"{list(shape)}"
            )


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a model's folder: its configuration now, its weights when they are asked for."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    return Checkpoint(read_decoder(folder), open_weights(folder))
