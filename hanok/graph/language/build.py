"""A decoder as an ONNX model: to read a whole prompt, or to make the next token behind a cache.

It takes what a host has anyway (rows of the embedding, cosines and sines of positions, masks) and gives what
it keeps (logits of the last position, the new keys and values), so that nothing between them needs the host.
What is constant is in the weights: the scale of the scores, the multipliers of residuals and logits, the
order of interleaved rotary pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper

from hanok.graph.language.blocks import RowBlock, causal_blocks, result_columns
from hanok.graph.language.cache_scales import UNSCALED, CacheScales
from hanok.graph.language.graph_writer import Floats, GraphWriter, Value
from hanok.graph.language.names import Checkpoint, Linear, Norm

OPSET = 23
IR_VERSION = 11
HIDDEN = "hidden"
COSINE = "cosine"
SINE = "sine"
MASK = "mask"
WINDOW_MASK = "window_mask"
LOGITS = "logits"
ATTENTION_PARTS = ("query", "key", "value")
FINAL = "final_norm"
"""What the head reads."""


def cache_names(layer: int) -> tuple[str, str]:
    """Inputs of the decode step: the keys and values of the tokens before."""
    return f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"


def new_names(layer: int) -> tuple[str, str]:
    """Outputs: the keys and values of the tokens that were read."""
    return f"present.{layer}.key", f"present.{layer}.value"


@dataclass(frozen=True)
class Part:
    """Layers first..last - 1 of a decoder, what follows them where `norm` is true, and a piece of the head.

    The head's piece is its columns start..end - 1; a whole head makes the logits, a piece `logits.START`.
    """

    first: int
    last: int
    norm: bool = False
    start: int = 0
    end: int = 0


def part_model(
    checkpoint: Checkpoint, rows: int, past: int, part: Part | None = None, scales: CacheScales = UNSCALED
) -> ModelProto:
    """A float model that reads `rows` tokens behind `past` cached ones; all of it where no part is named.

    Inputs: hidden [1, rows, width]; cosine and sine [1, rows, 1, pairs]; mask [1, 1, 1, rows, past + rows],
    added to the scores, whose last columns are the tokens themselves; for each layer two caches
    [1, key heads, past, head size], divided by `scales` where there are any. Outputs: logits
    [1, 1, vocabulary] of the last token; for each layer the new keys and values
    [1, key heads, rows, head size]. A part reads and gives what its neighbours call alike, so that the parts
    of a model can be joined by name.
    """
    decoder = checkpoint.decoder
    whole = Part(0, decoder.layers, True, 0, decoder.vocabulary)
    return _DecoderWriter(checkpoint, rows, past, scales).model(part or whole)


class _DecoderWriter(GraphWriter):
    """Writes a decoder that reads `rows` tokens behind `past` cached ones."""

    def __init__(self, checkpoint: Checkpoint, rows: int, past: int, scales: CacheScales) -> None:
        super().__init__()
        self.scales = scales
        self.checkpoint = checkpoint
        self.decoder = checkpoint.decoder
        self.rows = rows
        self.past = past

    def model(self, part: Part) -> ModelProto:
        """The layers of a part, the normalisation behind them, and its piece of the head."""
        decoder, rows = self.decoder, self.rows
        only_head = part.first == decoder.layers and not part.norm
        shape = (1, 1, decoder.width) if only_head else (1, rows, decoder.width)
        x = self.input(FINAL if only_head else _between(part.first), *shape)
        layers = range(part.first, part.last)
        if decoder.rotary is not None and layers:
            pairs = decoder.rotary.size // 2
            self.angles = [self.input(name, 1, rows, 1, pairs) for name in (COSINE, SINE)]
        self.masks = {
            windowed: self.input(WINDOW_MASK if windowed else MASK, 1, 1, 1, rows, self.past + rows)
            for windowed in sorted({self._is_windowed(layer) for layer in layers})
        }
        for layer in layers:
            x = self._layer(x, layer)
        if part.norm:
            last = x if rows == 1 else self.slice(x, "last", 1, rows - 1, rows)
            x = self._norm(last, self.checkpoint.final_norm(), FINAL)
        if part.end:
            whole = part.end - part.start == decoder.vocabulary
            head = self.checkpoint.head(part.start, part.end)
            x = self.linear(x, head, LOGITS if whole else f"{LOGITS}.{part.start}")
        self.outputs.append(helper.make_tensor_value_info(x.name, TensorProto.FLOAT, x.shape))
        name = f"{decoder.kind}.decode" if self.past else f"{decoder.kind}.prefill"
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self.constants.values()))
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="hanok",
        )

    def _is_windowed(self, layer: int) -> bool:
        windows = self.decoder.windows
        return bool(windows) and windows[layer] > 0

    def _window(self, layer: int) -> int:
        """How many tokens a row of this layer sees, its own among them; 0 where all before it."""
        return self.decoder.windows[layer] if self._is_windowed(layer) else 0

    def _norm(self, x: Value, norm: Norm, name: str) -> Value:
        return self.normalise(x, norm, self.decoder.epsilon, name, rms=self.decoder.norm == "rms")

    def _layer(self, x: Value, layer: int) -> Value:
        decoder, stem = self.decoder, f"layer.{layer}"
        ready = self._norm(x, self.checkpoint.norm(layer, "input_norm"), f"{stem}.input_norm")
        attended = self._attention(ready, layer)
        if decoder.parallel:
            both = self.joined("Add", attended, self._inner(ready, layer), f"{stem}.parts")
            return self.joined("Add", x, both, _between(layer + 1))
        x = self.joined("Add", x, attended, f"{stem}.attended")
        ready = self._norm(x, self.checkpoint.norm(layer, "inner_norm"), f"{stem}.inner_norm")
        return self.joined("Add", x, self._inner(ready, layer), _between(layer + 1))

    def _result(self, x: Value, linear: Linear, layer: int, part: str) -> Value:
        """The last product of a part, as much of it as is added: by its weights, or the gain behind it."""
        factor = self.decoder.residual_multiplier
        if not self.decoder.post_norm:
            return self.linear(x, linear.scaled(factor), f"layer.{layer}.{part}")
        y = self.linear(x, linear, f"layer.{layer}.{part}")
        role = "post_attention_norm" if part == "output" else "post_inner_norm"
        norm = self.checkpoint.norm(layer, role)
        return self._norm(y, Norm(norm.gain * np.float32(factor), norm.shift), f"layer.{layer}.{role}")

    def _inner(self, x: Value, layer: int) -> Value:
        decoder, stem = self.decoder, f"layer.{layer}"
        up = self.checkpoint.linear(layer, "up", decoder.width, decoder.inner)
        if decoder.gated:
            gate = self.checkpoint.linear(layer, "gate", decoder.width, decoder.inner)
            active = self._activation(self.linear(x, gate, f"{stem}.gate"), stem)
            y = self.joined("Mul", active, self.linear(x, up, f"{stem}.up"), f"{stem}.gated")
        else:
            y = self._activation(self.linear(x, up, f"{stem}.up"), stem)
        down = self.checkpoint.linear(layer, "down", decoder.inner, decoder.width)
        return self._result(y, down, layer, "down")

    def _activation(self, x: Value, stem: str) -> Value:
        name = f"{stem}.active"
        match self.decoder.activation:
            case "silu":
                return self.joined("Mul", x, self.apply("Sigmoid", [x], x.shape, f"{stem}.sigmoid"), name)
            case "gelu":
                return self.apply("Gelu", [x], x.shape, name)
            case "gelu_tanh":
                return self.apply("Gelu", [x], x.shape, name, approximate="tanh")
            case "relu":
                return self.apply("Relu", [x], x.shape, name)

    def _attention(self, x: Value, layer: int) -> Value:
        decoder, stem, rows, past = self.decoder, f"layer.{layer}", self.rows, self.past
        heads, size = decoder.heads, decoder.head_size
        parts = self._attention_heads(x, layer)
        for made, name in zip(parts[1:], new_names(layer), strict=True):
            self.output(self._joined_heads(made, f"{stem}.{name}"), name)
        query, key, value = (
            self._joined_heads(made, f"{stem}.{part}_heads")
            for made, part in zip(parts, ATTENTION_PARTS, strict=True)
        )
        blocks = causal_blocks(rows, self._window(layer))
        if past or len(blocks) == 1:
            mixed = self._flat(self._mixed(query, key, value, layer), stem)
        else:
            rows_of = [self._mixed_block(query, key, value, layer, block) for block in blocks]
            shape = (1, rows, heads * size)
            mixed = self.apply("Concat", rows_of, shape, f"{stem}.mixed_flat", axis=1)
        output = self.checkpoint.linear(layer, "output", heads * size, decoder.width)
        return self._result(mixed, output, layer, "output")

    def _joined_heads(self, parts: Sequence[Value], name: str) -> Value:
        """Heads [1, rows, heads, size] of several products as one [1, heads, rows, size]."""
        shape = (1, self.rows, sum(part.shape[2] for part in parts), self.decoder.head_size)
        whole = parts[0] if len(parts) == 1 else self.apply("Concat", parts, shape, f"{name}.all", axis=2)
        return self.transpose(whole, name, 0, 2, 1, 3)

    def _attention_heads(self, x: Value, layer: int) -> list[list[Value]]:
        """Queries, keys and values, turned, as [1, rows, heads, size] each: of one product, or of several.

        Of a long prompt each product makes a few heads, so that its float32 result need not go to DRAM.
        """
        decoder, stem, rows, size = self.decoder, f"layer.{layer}", self.rows, self.decoder.head_size
        counts = (decoder.heads, decoder.key_heads, decoder.key_heads)
        linears = self._attention_inputs(layer)
        most = result_columns(rows, size) // size
        if sum(counts) <= most:
            packed = self.linear(x, _side_by_side(linears), f"{stem}.query_key_value")
            made, start = [], 0
            for part, count in zip(ATTENTION_PARTS, counts, strict=True):
                flat = self.slice(packed, f"{stem}.{part}", 2, start * size, (start + count) * size)
                made.append([self._heads(flat, layer, part, f"{stem}.{part}")])
                start += count
            return made
        made = []
        for part, linear, count in zip(ATTENTION_PARTS, linears, counts, strict=True):
            names = [(first, min(first + most, count)) for first in range(0, count, most)]
            made.append(
                [
                    self._heads(
                        self.linear(x, linear.columns(first * size, end * size), f"{stem}.{part}.{first}"),
                        *(layer, part, f"{stem}.{part}.{first}"),
                    )
                    for first, end in names
                ]
            )
        return made

    def _heads(self, flat: Value, layer: int, part: str, name: str) -> Value:
        """Columns of a product as heads [1, rows, heads, size]; queries and keys normalised and turned."""
        size = self.decoder.head_size
        own = self.reshape(flat, f"{name}_rows", 1, self.rows, flat.shape[2] // size, size)
        return own if part == "value" else self._turned(self._head_norm(own, layer, part, name), name)

    def _mixed_block(self, query: Value, key: Value, value: Value, layer: int, block: RowBlock) -> Value:
        """Attention of a block of rows to the keys that it can see.

        Heads that share keys stay an axis of their own, along which the product repeats the keys, so that
        rows and results lie as the products with weights want them.
        """
        decoder, stem = self.decoder, f"layer.{layer}.rows.{block.start}"
        heads, key_heads, group, size = decoder.heads, decoder.key_heads, decoder.group, decoder.head_size
        rows, seen = block.rows, block.end - block.first_key
        own = self.slice(query, f"{stem}.query", 2, block.start, block.end)
        own = self.reshape(own, f"{stem}.query_groups", 1, key_heads, group, rows, size)
        keys, values = (
            self.reshape(
                self.slice(whole, f"{stem}.{name}", 2, block.first_key, block.end),
                f"{stem}.{name}_groups",
                *(1, key_heads, 1, seen, size),
            )
            for whole, name in ((key, "key"), (value, "value"))
        )
        across = self.transpose(keys, f"{stem}.keys_across", 0, 1, 2, 4, 3)
        scores = self.product(own, across, f"{stem}.scores")
        mask = self.slice(
            self.masks[self._is_windowed(layer)], f"{stem}.mask_rows", 3, block.start, block.end
        )
        mask = self.slice(mask, f"{stem}.mask", 4, block.first_key, block.end)
        masked = self.joined("Add", scores, mask, f"{stem}.masked")
        chances = self.apply("Softmax", [masked], masked.shape, f"{stem}.chances", axis=-1)
        mixed = self.product(chances, values, f"{stem}.mixed")
        return self._flat(self.reshape(mixed, f"{stem}.mixed_heads", 1, heads, rows, size), stem)

    def _flat(self, mixed: Value, stem: str) -> Value:
        """Heads [1, heads, rows, size] side by side in each row."""
        _, heads, rows, size = mixed.shape
        mixed = self.transpose(mixed, f"{stem}.mixed_rows", 0, 2, 1, 3)
        return self.reshape(mixed, f"{stem}.mixed_flat", 1, rows, heads * size)

    def _mixed(self, query: Value, key: Value, value: Value, layer: int) -> Value:
        """Softmax of the scores times the values; heads that share keys are rows of one product.

        Cached keys and values are read where they lie: they and the new ones are multiplied apart, and only
        the scores are put side by side.
        """
        decoder, stem, rows, size = self.decoder, f"layer.{layer}", self.rows, self.decoder.head_size
        query = self.reshape(query, f"{stem}.query_groups", 1, decoder.key_heads, decoder.group * rows, size)
        mixed = self._mixed_groups(query, key, value, layer)
        return self.reshape(mixed, f"{stem}.mixed_heads", 1, decoder.heads, rows, size)

    def _mixed_groups(self, query: Value, key: Value, value: Value, layer: int) -> Value:
        decoder, stem, rows, past = self.decoder, f"layer.{layer}", self.rows, self.past
        shape = (1, decoder.key_heads, past, decoder.head_size)
        caches = [self.input(name, *shape) for name in cache_names(layer)] if past else []
        keys, values = [*caches[:1], key], [*caches[1:], value]
        names = ["past", "new"] if past else [""]
        scores = []
        for part, name in zip(keys, names, strict=True):
            across = self.transpose(part, _named(f"{stem}.keys_across", name), 0, 1, 3, 2)
            scores.append(self.product(query, across, _named(f"{stem}.scores", name)))
        if past:
            scores[0] = self._times_scale(scores[0], caches[0])
        length = past + rows
        flat = (1, decoder.key_heads, decoder.group * rows, length)
        whole = (
            scores[0] if len(scores) == 1 else self.apply("Concat", scores, flat, f"{stem}.scores", axis=3)
        )
        groups = (1, decoder.key_heads, decoder.group, rows, length)
        grouped = self.reshape(whole, f"{stem}.scores_grouped", *groups)
        masked = self.joined("Add", grouped, self.masks[self._is_windowed(layer)], f"{stem}.masked")
        chances = self.apply("Softmax", [masked], groups, f"{stem}.chances", axis=-1)
        chances = self.reshape(chances, f"{stem}.chances_flat", *flat)
        if not past:
            return self.product(chances, value, f"{stem}.mixed")
        before = self.slice(chances, f"{stem}.chances.past", 3, 0, past)
        behind = self.slice(chances, f"{stem}.chances.new", 3, past, length)
        one = self._times_scale(self.product(before, values[0], f"{stem}.mixed.past"), caches[1])
        other = self.product(behind, values[1], f"{stem}.mixed.new")
        return self.joined("Add", one, other, f"{stem}.mixed")

    def _times_scale(self, product: Value, cache: Value) -> Value:
        """A product of each head with its cache, times what the cache was divided by."""
        scale = self.scales.by_name.get(cache.name)
        if scale is None:
            return product
        factor = self.value(f"{cache.name}.scale", scale)
        return self.joined("Mul", product, factor, f"{product.name}.scaled")

    def _attention_inputs(self, layer: int) -> list[Linear]:
        """Of queries, keys and values; scores get their scale through the queries."""
        decoder = self.decoder
        query, key, value = self.checkpoint.attention_inputs(layer)
        if not decoder.query_key_norm:
            query = query.scaled(self._score_scale(layer))
        return [*(self._halved(part) for part in (query, key)), value]

    def _score_scale(self, layer: int) -> float:
        return self.decoder.attention_scale / (layer + 1 if self.decoder.scale_by_layer else 1)

    def _halved(self, linear: Linear) -> Linear:
        """Interleaved rotary pairs brought to two halves; queries and keys alike, so that scores stay."""
        rotary, size = self.decoder.rotary, self.decoder.head_size
        if rotary is None or not rotary.interleaved:
            return linear
        turned = np.arange(rotary.size)
        order = np.concatenate([turned[0::2], turned[1::2], np.arange(rotary.size, size)])
        columns = (np.arange(0, linear.matrix.shape[1], size)[:, None] + order).reshape(-1)
        return Linear(linear.matrix[:, columns], None if linear.bias is None else linear.bias[columns])

    def _head_norm(self, x: Value, layer: int, part: str, stem: str) -> Value:
        """The norm of each head of queries or keys; scores get their scale through the queries' gain."""
        decoder = self.decoder
        if not decoder.query_key_norm:
            return x
        norm = self.checkpoint.norm(layer, f"{part}_norm")
        scale = self._score_scale(layer) if part == "query" else 1.0
        gained = Norm(norm.gain * np.float32(scale), norm.shift)
        return self.normalise(x, gained, decoder.epsilon, f"{stem}_norm", rms=True)

    def _turned(self, x: Value, stem: str) -> Value:
        """Rotary embedding of the halves of each head's front; the rest stays."""
        rotary = self.decoder.rotary
        if rotary is None:
            return x
        half, size = rotary.size // 2, self.decoder.head_size
        first = self.slice(x, f"{stem}.first", 3, 0, half)
        second = self.slice(x, f"{stem}.second", 3, half, rotary.size)
        cosine, sine = self.angles
        parts = [
            self.joined("Mul", a, b, f"{stem}.turn.{index}")
            for index, (a, b) in enumerate([(first, cosine), (second, sine), (second, cosine), (first, sine)])
        ]
        turned = [
            self.joined("Sub", parts[0], parts[1], f"{stem}.turned.0"),
            self.joined("Add", parts[2], parts[3], f"{stem}.turned.1"),
        ]
        if rotary.size < size:
            turned.append(self.slice(x, f"{stem}.unturned", 3, rotary.size, size))
        return self.apply("Concat", turned, x.shape, f"{stem}.turned", axis=3)


def _named(stem: str, part: str) -> str:
    """A name with the part's, where there is one."""
    return f"{stem}.{part}" if part else stem


def _between(layer: int) -> str:
    """What a layer reads: the tokens' embedding, or what the layer before it gives."""
    return HIDDEN if layer == 0 else f"layer.{layer - 1}.sum"


def _side_by_side(parts: Sequence[Linear]) -> Linear:
    matrix = np.concatenate([part.matrix for part in parts], 1)
    if all(part.bias is None for part in parts):
        return Linear(matrix, None)
    biases: list[Floats] = [
        np.zeros(part.matrix.shape[1], np.float32) if part.bias is None else part.bias for part in parts
    ]
    return Linear(matrix, np.concatenate(biases))
