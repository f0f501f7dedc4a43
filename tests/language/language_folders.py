"""Tiny random language models of every kind, written as folders the way their makers publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

STOP_ID = 256
VOCABULARY = 264
TOKENS = 258
"""The tokenizer's: 256 bytes and two special ones; the rest of the vocabulary pads the matrix."""
KINDS = ("llama", "qwen2", "qwen3", "exaone", "gptj", "gpt2", "hyperclovax")

_LLAMA_BASE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "eos_token_id": STOP_ID,
    "bos_token_id": 257,
}
_GPT_BASE: dict[str, Any] = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "vocab_size": VOCABULARY,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
    "eos_token_id": STOP_ID,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_EXAONE = {
    "num_layers": 2,
    "activation_function": "silu",
    "layer_norm_epsilon": 1e-5,
    "rope_scaling": _LLAMA3,
    "tie_word_embeddings": False,
}
_LLAMA_ONLY = ("num_hidden_layers", "hidden_act", "rms_norm_eps")
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**_LLAMA_BASE, "tie_word_embeddings": True, "rope_scaling": _LLAMA3},
    "qwen2": {
        **_LLAMA_BASE,
        "tie_word_embeddings": False,
        "use_sliding_window": True,
        "sliding_window": 6,
        "max_window_layers": 1,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    },
    "qwen3": {**_LLAMA_BASE, "tie_word_embeddings": True, "head_dim": 16, "rope_theta": 1e6},
    "exaone": {**{k: v for k, v in _LLAMA_BASE.items() if k not in _LLAMA_ONLY}, **_EXAONE},
    "gptj": {**_GPT_BASE, "rotary_dim": 4, "tie_word_embeddings": False},
    "gpt2": {**_GPT_BASE},
    "hyperclovax": {
        **_LLAMA_BASE,
        "tie_word_embeddings": False,
        "head_dim": 16,
        "partial_rotary_factor": 0.5,
        "embedding_multiplier": 4.0,
        "logits_scaling": 0.5,
        "attention_multiplier": 0.2,
        "residual_multiplier": 0.7,
        "use_post_norm": True,
    },
}
for _kind, _config in CONFIGS.items():
    _config["model_type"] = _kind

Tensors = dict[str, np.ndarray]


def make_tensors(kind: str, config: dict[str, Any], seed: int) -> Tensors:
    """Random weights under the kind's own names; norms near one, so that a missing gain would be seen."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}

    def matrix(name: str, *shape: int) -> None:
        tensors[f"{name}.weight"] = random.normal(0, 1.5 / np.sqrt(shape[-1]), shape).astype(np.float32)

    def vector(name: str, size: int, mean: float = 0.0) -> None:
        tensors[name] = (mean + 0.2 * random.standard_normal(size)).astype(np.float32)

    width = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    size = config.get("head_dim", width // heads)
    keys = config.get("num_key_value_heads", heads)
    inner = config.get("intermediate_size", 4 * width)
    for layer in range(2):
        match kind:
            case "gpt2":
                stem = f"transformer.h.{layer}."
                for norm in ("ln_1", "ln_2"):
                    vector(f"{stem}{norm}.weight", width, 1.0)
                    vector(f"{stem}{norm}.bias", width)
                shapes = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
                shapes |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
                for name, shape in shapes.items():
                    matrix(stem + name, *shape)
                    vector(f"{stem}{name}.bias", shape[1])
                tensors[f"{stem}attn.bias"] = np.tril(np.ones((1, 1, 128, 128), np.float32))
            case "gptj":
                stem = f"transformer.h.{layer}."
                vector(f"{stem}ln_1.weight", width, 1.0)
                vector(f"{stem}ln_1.bias", width)
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    matrix(f"{stem}attn.{name}", width, width)
                for name, shape in {"fc_in": (inner, width), "fc_out": (width, inner)}.items():
                    matrix(f"{stem}mlp.{name}", *shape)
                    vector(f"{stem}mlp.{name}.bias", shape[0])
            case _:
                exaone = kind == "exaone"
                stem = f"transformer.h.{layer}." if exaone else f"model.layers.{layer}."
                attention = "attn.attention." if exaone else "self_attn."
                norms = ["ln_1", "ln_2"] if exaone else ["input_layernorm", "post_attention_layernorm"]
                norms += ["post_norm1", "post_norm2"] if config.get("use_post_norm") else []
                for norm in norms:
                    vector(f"{stem}{norm}.weight", width, 1.0)
                outs = {"q_proj": heads * size, "k_proj": keys * size, "v_proj": keys * size}
                for name, out in outs.items():
                    matrix(f"{stem}{attention}{name}", out, width)
                    if kind == "qwen2":
                        vector(f"{stem}{attention}{name}.bias", out)
                matrix(f"{stem}{attention}{'out_proj' if exaone else 'o_proj'}", width, heads * size)
                if kind == "qwen3":
                    vector(f"{stem}self_attn.q_norm.weight", size, 1.0)
                    vector(f"{stem}self_attn.k_norm.weight", size, 1.0)
                gates = ("c_fc_0", "c_fc_1", "c_proj") if exaone else ("gate_proj", "up_proj", "down_proj")
                for name, shape in zip(gates, [(inner, width), (inner, width), (width, inner)], strict=True):
                    matrix(f"{stem}mlp.{name}", *shape)
    llama = kind in ("llama", "qwen2", "qwen3", "hyperclovax")
    final = "model.norm" if llama else "transformer.ln_f"
    vector(f"{final}.weight", width, 1.0)
    if kind in ("gpt2", "gptj"):
        vector(f"{final}.bias", width)
    embedding = "model.embed_tokens" if llama else "transformer.wte"
    tensors[f"{embedding}.weight"] = random.normal(0, 1, (VOCABULARY, width)).astype(np.float32)
    if kind == "gpt2":
        tensors["transformer.wpe.weight"] = random.normal(0, 0.5, (128, width)).astype(np.float32)
    elif not config.get("tie_word_embeddings"):
        matrix("lm_head", VOCABULARY, width)
        if kind == "gptj":
            vector("lm_head.bias", VOCABULARY)
    return tensors


def encode(array: np.ndarray, dtype: str) -> tuple[bytes, np.ndarray]:
    """The bytes of an array in a type of safetensors, and the values that they stand for."""
    if dtype == "BF16":
        bits = (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return bits.tobytes(), (bits.astype(np.uint32) << 16).view(np.float32)
    kind = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "F64": np.float64}[dtype]
    stored = array.astype(kind)
    return stored.tobytes(), stored.astype(np.float32)


def write_safetensors(path: Path, tensors: Tensors, dtype: str = "F32") -> Tensors:
    """Write one file; return the values that are in it."""
    header, data, values = {}, b"", {}
    for name, array in tensors.items():
        kind = "I8" if array.dtype == np.int8 else dtype
        content, values[name] = encode(array, kind)
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += content
    write_raw(path, header, data)
    return values


def write_raw(path: Path, header: dict[str, Any] | bytes, data: bytes) -> None:
    """Write a file with any header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps({"__metadata__": {}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def byte_characters() -> list[str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    found, extra = {}, 0
    for value in range(256):
        if value in plain:
            found[value] = chr(value)
        else:
            found[value] = chr(256 + extra)
            extra += 1
    return [found[value] for value in range(256)]


def write_tokenizer(folder: Path, *, extra: int = 0) -> None:
    """A byte-level tokenizer; `extra` more special tokens make it larger than the model's vocabulary."""
    specials = ["<end>", "<begin>", *(f"<{index}>" for index in range(extra))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": 256 + i, "content": text, **flags} for i, text in enumerate(specials)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {character: value for value, character in enumerate(byte_characters())},
            "merges": [],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def write_folder(
    folder: Path, kind: str, *, seed: int = 0, dtype: str = "F32", shards: int = 1, **changes: Any
) -> tuple[dict[str, Any], Tensors]:
    """A whole model; returns its configuration and the values of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIGS[kind], **changes}
    tensors = make_tensors(kind, config, seed)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_tokenizer(folder)
    if shards == 1:
        return config, write_safetensors(folder / "model.safetensors", tensors, dtype)
    values: Tensors = {}
    places: dict[str, str] = {}
    names = list(tensors)
    for index in range(shards):
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[index::shards]}
        values |= write_safetensors(folder / file, part, dtype)
        places |= dict.fromkeys(part, file)
    index_file = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index_file), "utf-8")
    return config, values
