"""An independent float64 forward pass of every kind of decoder, written from the published definitions.

It reads a whole sequence each time, has no cache, repeats key heads for their queries and turns rotary pairs
by complex numbers; it shares no code with hanok.
"""

from __future__ import annotations

from math import erf, pi
from typing import Any

import numpy as np

Floats = np.ndarray


def reference_logits(kind: str, config: dict[str, Any], tensors: dict[str, Floats], ids: list[int]) -> Floats:
    """Logits [tokens, vocabulary] of a sequence."""
    weights = {name: value.astype(np.float64) for name, value in tensors.items()}
    match kind:
        case "gpt2":
            return _gpt2(config, weights, ids)
        case "gptj":
            return _gptj(config, weights, ids)
    return _llama(kind, config, weights, ids)


def greedy(
    kind: str, config: dict[str, Any], tensors: dict[str, Floats], ids: list[int], count: int
) -> list[int]:
    """The most likely continuation, token by token."""
    sequence = list(ids)
    for _ in range(count):
        sequence.append(int(np.argmax(reference_logits(kind, config, tensors, sequence)[-1])))
    return sequence[len(ids) :]


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _layer_norm(x: Floats, gain: Floats, shift: Floats, epsilon: float) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gain + shift


def _rms_norm(x: Floats, gain: Floats, epsilon: float) -> Floats:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * gain


def _gelu_new(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / pi) * (x + 0.044715 * x**3)))


def _gelu(x: Floats) -> Floats:
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def _silu(x: Floats) -> Floats:
    return x / (1 + np.exp(-x))


_FUNCTIONS = {"gelu_new": _gelu_new, "gelu": _gelu, "silu": _silu, "relu": lambda x: np.maximum(x, 0)}


def _attend(query: Floats, key: Floats, value: Floats, scale: float, window: int = 0) -> Floats:
    """query, key, value [tokens, heads, size]; a position sees those before it, in its window."""
    tokens, heads, _ = query.shape
    result = np.zeros((tokens, heads, value.shape[2]))
    for position in range(tokens):
        first = max(0, position + 1 - window) if window else 0
        seen = slice(first, position + 1)
        for head in range(heads):
            chances = _softmax(key[seen, head] @ query[position, head] * scale)
            result[position, head] = chances @ value[seen, head]
    return result.reshape(tokens, -1)


def _gpt2(config: dict[str, Any], w: dict[str, Floats], ids: list[int]) -> Floats:
    width, heads, epsilon = config["n_embd"], config["n_head"], config["layer_norm_epsilon"]
    tokens = len(ids)
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:tokens]
    for layer in range(config["n_layer"]):
        p = f"transformer.h.{layer}."
        ready = _layer_norm(x, w[f"{p}ln_1.weight"], w[f"{p}ln_1.bias"], epsilon)
        joined = ready @ w[f"{p}attn.c_attn.weight"] + w[f"{p}attn.c_attn.bias"]
        query, key, value = (part.reshape(tokens, heads, -1) for part in np.split(joined, 3, axis=1))
        scale = (width // heads) ** -0.5 if config.get("scale_attn_weights", True) else 1.0
        scale /= layer + 1 if config.get("scale_attn_by_inverse_layer_idx") else 1
        mixed = _attend(query, key, value, scale)
        x = x + mixed @ w[f"{p}attn.c_proj.weight"] + w[f"{p}attn.c_proj.bias"]
        ready = _layer_norm(x, w[f"{p}ln_2.weight"], w[f"{p}ln_2.bias"], epsilon)
        inner = _FUNCTIONS[config["activation_function"]](
            ready @ w[f"{p}mlp.c_fc.weight"] + w[f"{p}mlp.c_fc.bias"]
        )
        x = x + inner @ w[f"{p}mlp.c_proj.weight"] + w[f"{p}mlp.c_proj.bias"]
    x = _layer_norm(x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"], epsilon)
    return x @ w["transformer.wte.weight"].T


def _turn_neighbours(x: Floats, count: int) -> Floats:
    """GPT-J: elements 2i and 2i + 1 of the first `count` are one complex number."""
    tokens = x.shape[0]
    frequency = 10000.0 ** (-np.arange(0, count, 2) / count)
    turn = np.exp(1j * np.outer(np.arange(tokens), frequency))[:, None, :]
    pairs = (x[..., 0:count:2] + 1j * x[..., 1:count:2]) * turn
    result = x.copy()
    result[..., 0:count:2], result[..., 1:count:2] = pairs.real, pairs.imag
    return result


def _gptj(config: dict[str, Any], w: dict[str, Floats], ids: list[int]) -> Floats:
    width, heads, epsilon = config["n_embd"], config["n_head"], config["layer_norm_epsilon"]
    x = w["transformer.wte.weight"][ids]
    for layer in range(config["n_layer"]):
        p = f"transformer.h.{layer}."
        ready = _layer_norm(x, w[f"{p}ln_1.weight"], w[f"{p}ln_1.bias"], epsilon)
        query, key, value = (
            (ready @ w[f"{p}attn.{name}_proj.weight"].T).reshape(len(ids), heads, -1) for name in "qkv"
        )
        turned = [_turn_neighbours(part, config["rotary_dim"]) for part in (query, key)]
        mixed = _attend(*turned, value, (width // heads) ** -0.5)
        inner = _gelu_new(ready @ w[f"{p}mlp.fc_in.weight"].T + w[f"{p}mlp.fc_in.bias"])
        x = (
            x
            + mixed @ w[f"{p}attn.out_proj.weight"].T
            + inner @ w[f"{p}mlp.fc_out.weight"].T
            + w[f"{p}mlp.fc_out.bias"]
        )
    x = _layer_norm(x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"], epsilon)
    return x @ w["lm_head.weight"].T + w["lm_head.bias"]


def _inverse_frequencies(config: dict[str, Any], count: int) -> Floats:
    theta = config.get("rope_theta", 10000.0)
    inverse = np.array([1.0 / theta ** (2 * index / count) for index in range(count // 2)])
    scaling = config.get("rope_scaling")
    if scaling is None:
        return inverse
    if scaling.get("type") == "linear":
        return inverse / scaling["factor"]
    result = []
    for value in inverse:
        wavelength = 2 * pi / value
        longest = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
        shortest = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
        if wavelength < shortest:
            result.append(value)
        elif wavelength > longest:
            result.append(value / scaling["factor"])
        else:
            smooth = scaling["original_max_position_embeddings"] / wavelength - scaling["low_freq_factor"]
            smooth /= scaling["high_freq_factor"] - scaling["low_freq_factor"]
            result.append((1 - smooth) * value / scaling["factor"] + smooth * value)
    return np.array(result)


def _turn_halves(x: Floats, config: dict[str, Any]) -> Floats:
    """Llama: elements i and i + count / 2 of the first `count` are one complex number."""
    count = int(x.shape[2] * config.get("partial_rotary_factor", 1.0))
    half = count // 2
    turn = np.exp(1j * np.outer(np.arange(x.shape[0]), _inverse_frequencies(config, count)))[:, None, :]
    pairs = (x[..., :half] + 1j * x[..., half:count]) * turn
    return np.concatenate([pairs.real, pairs.imag, x[..., count:]], axis=2)


_LLAMA_NAMES = {
    "embedding": "model.embed_tokens",
    "layer": "model.layers.{}.",
    "attention": "self_attn.",
    "out": "o_proj",
    "norms": ("input_layernorm", "post_attention_layernorm"),
    "inner": ("gate_proj", "up_proj", "down_proj"),
    "final": "model.norm",
}
_EXAONE_NAMES = {
    "embedding": "transformer.wte",
    "layer": "transformer.h.{}.",
    "attention": "attn.attention.",
    "out": "out_proj",
    "norms": ("ln_1", "ln_2"),
    "inner": ("c_fc_0", "c_fc_1", "c_proj"),
    "final": "transformer.ln_f",
}


def _llama(kind: str, config: dict[str, Any], w: dict[str, Floats], ids: list[int]) -> Floats:
    names: dict[str, Any] = _EXAONE_NAMES if kind == "exaone" else _LLAMA_NAMES
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim", config["hidden_size"] // heads)
    epsilon = config.get("rms_norm_eps", config.get("layer_norm_epsilon"))
    residual = config.get("residual_multiplier", 1.0)
    scale = config.get("attention_multiplier", size**-0.5)
    tokens = len(ids)

    def linear(x: Floats, name: str) -> Floats:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    x = w[f"{names['embedding']}.weight"][ids] * config.get("embedding_multiplier", 1.0)
    for layer in range(config.get("num_hidden_layers", config.get("num_layers"))):
        p = names["layer"].format(layer)
        ready = _rms_norm(x, w[f"{p}{names['norms'][0]}.weight"], epsilon)
        query = linear(ready, f"{p}{names['attention']}q_proj").reshape(tokens, heads, size)
        key = linear(ready, f"{p}{names['attention']}k_proj").reshape(tokens, keys, size)
        value = linear(ready, f"{p}{names['attention']}v_proj").reshape(tokens, keys, size)
        if kind == "qwen3":
            query = _rms_norm(query, w[f"{p}self_attn.q_norm.weight"], epsilon)
            key = _rms_norm(key, w[f"{p}self_attn.k_norm.weight"], epsilon)
        query, key = _turn_halves(query, config), _turn_halves(key, config)
        key, value = (np.repeat(part, heads // keys, axis=1) for part in (key, value))
        slides = config.get("use_sliding_window") and layer >= config.get("max_window_layers", 0)
        if "layer_types" in config:
            slides = config["layer_types"][layer] == "sliding_attention"
        mixed = _attend(query, key, value, scale, config["sliding_window"] if slides else 0)
        mixed = linear(mixed, f"{p}{names['attention']}{names['out']}")
        if config.get("use_post_norm"):
            mixed = _rms_norm(mixed, w[f"{p}post_norm1.weight"], epsilon)
        x = x + residual * mixed
        ready = _rms_norm(x, w[f"{p}{names['norms'][1]}.weight"], epsilon)
        gate, up, down = (f"{p}mlp.{name}" for name in names["inner"])
        inner = linear(_silu(linear(ready, gate)) * linear(ready, up), down)
        if config.get("use_post_norm"):
            inner = _rms_norm(inner, w[f"{p}post_norm2.weight"], epsilon)
        x = x + residual * inner
    x = _rms_norm(x, w[f"{names['final']}.weight"], epsilon)
    head = w[f"{names['embedding']}.weight"] if config.get("tie_word_embeddings") else w["lm_head.weight"]
    return x @ head.T * config.get("logits_scaling", 1.0)
