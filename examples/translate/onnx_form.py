"""The trained network as two ONNX models: an encoder, and a decoder that makes one token."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = npt.NDArray[Any]
OPSET, IR_VERSION = 17, 10
HEAD = "logits"


@dataclass(frozen=True)
class Weights:
    """The arrays of network.npz, by PyTorch's names, and what stands beside them."""

    arrays: dict[str, Array]
    about: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Weights:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "about"}
            return cls(arrays, json.loads(str(file["about"])))

    def linear(self, name: str, scale: float = 1.0) -> tuple[Array, Array]:
        """Matrix [inputs, outputs] and bias."""
        return self.arrays[f"{name}.weight"].T * scale, self.arrays[f"{name}.bias"] * scale

    @property
    def shape(self) -> dict[str, Any]:
        """Sizes, as `model.Shape` names them."""
        sizes: dict[str, Any] = self.about["shape"]
        return sizes

    @property
    def embedding(self) -> Array:
        """Rows of the vocabulary as the models read them."""
        rows: Array = self.arrays["embedding.weight"] * np.float32(math.sqrt(self.shape["width"]))
        return rows

    @property
    def positions(self) -> Array:
        """Sines and cosines, [places, width]."""
        width = self.shape["width"]
        rate = np.exp(np.arange(0, width, 2) * (-math.log(10000.0) / width))
        angle = np.arange(self.shape["places"])[:, None] * rate
        return np.stack([np.sin(angle), np.cos(angle)], 2).reshape(-1, width).astype(np.float32)


class Writer:
    """Writes the nodes of one model; tensors are named by what they are."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.width, self.heads = weights.shape["width"], weights.shape["heads"]
        self.size = self.width // self.heads
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def input(self, name: str, *shape: int) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name: str, *shape: int) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, name: str, content: Array) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(content), name)
        return name

    def apply(self, op_type: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def linear(self, x: str, matrix: Array, bias: Array, name: str) -> str:
        weight = self.constant(f"{name}.weight", matrix.astype(np.float32))
        offset = self.constant(f"{name}.bias", bias.astype(np.float32))
        # nodes without names: the quantiser names the parts that it makes of a product
        self.nodes.append(helper.make_node("MatMul", [x, weight], [f"{name}.product"]))
        self.nodes.append(helper.make_node("Add", [f"{name}.product", offset], [name]))
        return name

    def normalise(self, x: str, stem: str, name: str) -> str:
        gain = self.constant(f"{name}.gain", self.weights.arrays[f"{stem}.weight"])
        shift = self.constant(f"{name}.shift", self.weights.arrays[f"{stem}.bias"])
        return self.apply("LayerNormalization", [x, gain, shift], name, axis=-1, epsilon=1e-5)

    def slice(self, x: str, start: int, end: int, name: str) -> str:
        bounds = [self.constant(f"index.{v}", np.array([v], np.int64)) for v in (start, end, 2)]
        return self.apply("Slice", [x, *bounds], name)

    def split(self, x: str, rows: int, name: str, *, across: bool = False) -> str:
        """[1, rows, width] as [1, heads, rows, size], or [1, heads, size, rows]."""
        shape = self.constant(f"shape.{rows}", np.array([1, rows, self.heads, self.size], np.int64))
        rows_of_heads = self.apply("Reshape", [x, shape], f"{name}.split")
        return self.apply("Transpose", [rows_of_heads], name, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])

    def attend(self, query: str, keys: str, values: str, mask: str, rows: int, stem: str, name: str) -> str:
        """Heads of queries, keys (across) and values to what the layer adds."""
        scores = self.apply("MatMul", [query, keys], f"{name}.scores")
        masked = self.apply("Add", [scores, mask], f"{name}.masked")
        chances = self.apply("Softmax", [masked], f"{name}.chances", axis=-1)
        mixed = self.apply("MatMul", [chances, values], f"{name}.mixed")
        turned = self.apply("Transpose", [mixed], f"{name}.turned", perm=[0, 2, 1, 3])
        shape = self.constant(f"flat.{rows}", np.array([1, rows, self.width], np.int64))
        flat = self.apply("Reshape", [turned, shape], f"{name}.flat")
        return self.linear(flat, *self.weights.linear(f"{stem}.output"), f"{name}.output")

    def query_key_value(self, x: str, stem: str, rows: int, name: str) -> tuple[str, str, str]:
        """Heads of queries (scaled), keys (not across) and values, by one product."""
        query = self.weights.linear(f"{stem}.query", self.size**-0.5)
        rest = self.weights.linear(f"{stem}.key_value")
        matrix, bias = (np.concatenate(pair, -1) for pair in zip(query, rest, strict=True))
        packed = self.linear(x, matrix, bias, f"{name}.packed")
        parts = [
            self.slice(packed, place * self.width, (place + 1) * self.width, f"{name}.{part}")
            for place, part in enumerate(("query", "key", "value"))
        ]
        query_heads, key_heads, value_heads = (self.split(part, rows, f"{part}.heads") for part in parts)
        return query_heads, key_heads, value_heads

    def feed(self, x: str, stem: str, name: str) -> str:
        normed = self.normalise(x, f"{stem}.feed_norm", f"{name}.feed_norm")
        wide = self.linear(normed, *self.weights.linear(f"{stem}.feed.first"), f"{name}.wide")
        active = self.apply("Relu", [wide], f"{name}.active")
        narrow = self.linear(active, *self.weights.linear(f"{stem}.feed.second"), f"{name}.narrow")
        return self.apply("Add", [x, narrow], f"{name}.sum")

    def model(self, name: str) -> ModelProto:
        constants = list(self.constants.values())
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="hanok")


def encoder_model(weights: Weights) -> ModelProto:
    """Rows [1, places, width] and mask [1, 1, 1, places] to cross.LAYER.keys and .values of the decoder."""
    writer, places = Writer(weights), weights.shape["places"]
    x, mask = writer.input("rows", 1, places, writer.width), writer.input("mask", 1, 1, 1, places)
    for layer in range(weights.shape["encoder_layers"]):
        stem = f"encoder.{layer}"
        normed = writer.normalise(x, f"{stem}.self_norm", f"{stem}.norm")
        query, key, value = writer.query_key_value(normed, f"{stem}.self_attention", places, stem)
        across = writer.apply("Transpose", [key], f"{stem}.keys", perm=[0, 1, 3, 2])
        mixed = writer.attend(query, across, value, mask, places, f"{stem}.self_attention", stem)
        x = writer.apply("Add", [x, mixed], f"{stem}.attended")
        x = writer.feed(x, stem, stem)
    memory = writer.normalise(x, "encoder_norm", "memory")
    for layer in range(weights.shape["decoder_layers"]):
        packed = writer.linear(
            memory, *weights.linear(f"decoder.{layer}.cross_attention.key_value"), f"cross.{layer}"
        )
        key = writer.slice(packed, 0, writer.width, f"cross.{layer}.key")
        value = writer.slice(packed, writer.width, 2 * writer.width, f"cross.{layer}.value")
        writer.split(key, places, f"cross.{layer}.keys", across=True)
        writer.split(value, places, f"cross.{layer}.values")
        writer.output(f"cross.{layer}.keys", 1, writer.heads, writer.size, places)
        writer.output(f"cross.{layer}.values", 1, writer.heads, places, writer.size)
    return writer.model("translate.encoder")


def decoder_model(weights: Weights) -> ModelProto:
    """One token: its row, the caches behind which it stands, and the encoder's outputs, to logits."""
    writer, places = Writer(weights), weights.shape["places"]
    x = writer.input("row", 1, 1, writer.width)
    past_mask, mask = writer.input("past_mask", 1, 1, 1, places), writer.input("mask", 1, 1, 1, places)
    for layer in range(weights.shape["decoder_layers"]):
        stem = f"decoder.{layer}"
        normed = writer.normalise(x, f"{stem}.self_norm", f"{stem}.norm")
        query, *made = writer.query_key_value(normed, f"{stem}.self_attention", 1, stem)
        whole = []
        for part, new in zip(("keys", "values"), made, strict=True):
            past = writer.input(f"past.{layer}.{part}", 1, writer.heads, places - 1, writer.size)
            whole.append(writer.apply("Concat", [past, new], f"{stem}.{part}", axis=2))
            writer.apply("Identity", [new], f"new.{layer}.{part}")
            writer.output(f"new.{layer}.{part}", 1, writer.heads, 1, writer.size)
        across = writer.apply("Transpose", [whole[0]], f"{stem}.keys_across", perm=[0, 1, 3, 2])
        mixed = writer.attend(query, across, whole[1], past_mask, 1, f"{stem}.self_attention", stem)
        x = writer.apply("Add", [x, mixed], f"{stem}.attended")
        normed = writer.normalise(x, f"{stem}.cross_norm", f"{stem}.cross_norm")
        scaled = weights.linear(f"{stem}.cross_attention.query", writer.size**-0.5)
        query = writer.split(writer.linear(normed, *scaled, f"{stem}.asked"), 1, f"{stem}.asked.heads")
        keys = writer.input(f"cross.{layer}.keys", 1, writer.heads, writer.size, places)
        values = writer.input(f"cross.{layer}.values", 1, writer.heads, places, writer.size)
        mixed = writer.attend(query, keys, values, mask, 1, f"{stem}.cross_attention", f"{stem}.cross")
        x = writer.apply("Add", [x, mixed], f"{stem}.crossed")
        x = writer.feed(x, stem, stem)
    last = writer.normalise(x, "decoder_norm", "last")
    head = writer.constant(f"{HEAD}.weight", weights.arrays["embedding.weight"].T)
    writer.apply("MatMul", [last, head], HEAD)
    writer.output(HEAD, 1, 1, weights.shape["vocabulary"])
    return writer.model("translate.decoder")
