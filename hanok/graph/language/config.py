"""config.json: the kinds of decoders that are known, and their shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hanok.errors import ModelError, UnsupportedError
from hanok.graph.language.rotary import Rotary, Scaling
from hanok.graph.language.safetensors import read_json

LARGEST = 1 << 24
"""No count in a configuration is larger."""
LARGEST_REAL = 1e30
MOST_LAYERS = 1024

QWEN_FULL_LAYERS = 28
"""Qwen's own default of `max_window_layers`."""

Norm = Literal["rms", "layer"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]
_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}


@dataclass(frozen=True)
class Decoder:
    """The shape of a decoder-only language model, whatever its kind calls the parts."""

    kind: str
    layers: int
    width: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    """Width of the feed-forward part."""
    vocabulary: int
    context: int
    norm: Norm
    epsilon: float
    activation: Activation
    gated: bool
    rotary: Rotary | None = None
    learned_positions: bool = False
    parallel: bool = False
    """Attention and feed-forward read the same normalised input."""
    tied: bool = False
    """The head is the embedding's transpose."""
    query_key_norm: bool = False
    post_norm: bool = False
    """What a part gives is normalised before it is added."""
    windows: tuple[int, ...] = ()
    """For each layer, how many positions it sees, itself included; 0 is all of them."""
    attention_scale: float = 0.0
    scale_by_layer: bool = False
    """Attention scores of layer n are divided by n + 1."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_multiplier: float = 1.0
    begin_id: int | None = None
    stop_ids: tuple[int, ...] = ()

    @property
    def group(self) -> int:
        """Query heads that share one key head."""
        return self.heads // self.key_heads


class _Reader:
    """Takes typed values out of a configuration; a missing or wild one is an error that names it."""

    def __init__(self, origin: str, values: dict[str, Any]) -> None:
        self.origin = origin
        self.values = values

    def get(self, *names: str) -> Any:
        """The first of the names that is there and not null."""
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)

    def count(self, *names: str, default: int | None = None, most: int = LARGEST) -> int:
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 1 <= value <= most:
            raise ModelError(f"{self.origin}: {names[0]} is {_shown(value)}; allowed: 1..{most}")
        return value

    def real(self, *names: str, default: float | None = None) -> float:
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST_REAL:
            raise ModelError(f"{self.origin}: {names[0]} is {_shown(value)}; allowed: a number")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ModelError(f"{self.origin}: {name} is {_shown(value)}; allowed: true or false")
        return value

    def activation(self, *names: str, default: str) -> Activation:
        value = self.get(*names) or default
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            allowed = ", ".join(_ACTIVATIONS)
            raise UnsupportedError(f"{self.origin}: {names[0]} is {_shown(value)}; allowed: {allowed}")
        return _ACTIVATIONS[value]

    def ids(self, name: str) -> tuple[int, ...]:
        """One token id, several, or none."""
        value = self.values.get(name)
        found = [] if value is None else value if isinstance(value, list) else [value]
        if not all(type(item) is int and 0 <= item < LARGEST for item in found):
            raise ModelError(f"{self.origin}: {name} is {_shown(value)}; allowed: token ids")
        return tuple(found)


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]


def read_decoder(folder: Path) -> Decoder:
    """Read config.json (and the stop tokens of generation_config.json) of a model's folder."""
    path = folder / "config.json"
    reader = _Reader(str(path), read_json(path))
    kind = reader.get("model_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UnsupportedError(f"{path}: model_type {_shown(kind)}; allowed: {', '.join(_KINDS)}")
    decoder = _KINDS[kind](reader)
    _check(decoder, str(path))
    return decoder


def _check(decoder: Decoder, origin: str) -> None:
    if decoder.heads % decoder.key_heads:
        raise ModelError(
            f"{origin}: {decoder.heads} heads cannot share {decoder.key_heads} key heads evenly; allowed: a "
            "divisor"
        )
    rotary = decoder.rotary
    if rotary is not None and (rotary.size % 2 or not 2 <= rotary.size <= decoder.head_size):
        raise ModelError(
            f"{origin}: rotary embedding turns {rotary.size} of {decoder.head_size} elements; allowed: an "
            "even number of them"
        )
    if not 0 < decoder.epsilon < 1:
        raise ModelError(f"{origin}: the norm's epsilon is {decoder.epsilon:g}; allowed: above 0 and below 1")
    if decoder.heads * decoder.head_size > LARGEST:
        raise ModelError(f"{origin}: {decoder.heads} heads of {decoder.head_size} elements are too many")


def read_special_ids(folder: Path) -> tuple[int | None, tuple[int, ...]]:
    """The begin token and the stop tokens that config.json and generation_config.json name."""
    begin: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()
    for path in (folder / "config.json", folder / "generation_config.json"):
        if path.exists():
            reader = _Reader(str(path), read_json(path))
            begin += reader.ids("bos_token_id")
            stops += reader.ids("eos_token_id")
    return (begin[0] if begin else None), tuple(dict.fromkeys(stops))


def _special_ids(reader: _Reader) -> dict[str, Any]:
    begin, stops = read_special_ids(Path(reader.origin).parent)
    return {"begin_id": begin, "stop_ids": stops}


def _llama(reader: _Reader, kind: str = "llama") -> Decoder:
    width, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
    layers = reader.count("num_hidden_layers", "num_layers", most=MOST_LAYERS)
    head_size = reader.count("head_dim", default=_head_size(reader, width, heads))
    return Decoder(
        kind=kind,
        layers=layers,
        width=width,
        heads=heads,
        key_heads=reader.count("num_key_value_heads", default=heads),
        head_size=head_size,
        inner=reader.count("intermediate_size"),
        vocabulary=reader.count("vocab_size"),
        context=reader.count("max_position_embeddings", default=2048),
        norm="rms",
        epsilon=reader.real("rms_norm_eps", "layer_norm_epsilon", default=1e-6),
        activation=reader.activation("hidden_act", "activation_function", default="silu"),
        gated=True,
        rotary=_rotary(reader, head_size),
        tied=reader.flag("tie_word_embeddings"),
        query_key_norm=kind == "qwen3",
        windows=_windows(reader, layers, kind),
        embedding_multiplier=reader.real("embedding_multiplier", default=1.0),
        residual_multiplier=reader.real("residual_multiplier", default=1.0),
        attention_scale=reader.real("attention_multiplier", default=head_size**-0.5),
        logits_multiplier=reader.real("logits_scaling", default=1.0),
        post_norm=kind == "hyperclovax" and reader.flag("use_post_norm"),
        **_special_ids(reader),
    )


def _head_size(reader: _Reader, width: int, heads: int) -> int:
    if reader.get("head_dim") is None and width % heads:
        raise ModelError(f"{reader.origin}: hidden size {width} is no multiple of {heads} heads")
    return width // heads


def _rotary(reader: _Reader, head_size: int) -> Rotary:
    settings = reader.get("rope_parameters", "rope_scaling") or {}
    if not isinstance(settings, dict):
        raise ModelError(f"{reader.origin}: rope_scaling is {_shown(settings)}; allowed: an object")
    inner = _Reader(f"{reader.origin}: rope_scaling", settings)
    theta = reader.real("rope_theta", default=inner.real("rope_theta", default=10000.0))
    share = reader.real("partial_rotary_factor", default=inner.real("partial_rotary_factor", default=1.0))
    if theta <= 0 or not 0 < share <= 1:
        raise ModelError(
            f"{reader.origin}: rope_theta {theta:g} and partial_rotary_factor {share:g}; allowed: above 0, "
            "and above 0 up to 1"
        )
    return Rotary(int(head_size * share), theta, scaling=_scaling(inner))


def _scaling(settings: _Reader) -> Scaling | None:
    kind = settings.get("rope_type", "type") or "default"
    if kind == "default":
        return None
    if not isinstance(kind, str) or kind not in ("linear", "llama3"):
        raise UnsupportedError(f"{settings.origin}: type {_shown(kind)}; allowed: default, linear, llama3")
    factor = settings.real("factor")
    if factor < 1:
        raise ModelError(f"{settings.origin}: factor {factor:g}; allowed: at least 1")
    if kind == "linear":
        return Scaling(factor)
    low, high = settings.real("low_freq_factor"), settings.real("high_freq_factor")
    if not 0 < low < high:
        raise ModelError(
            f"{settings.origin}: low_freq_factor {low:g} and high_freq_factor {high:g}; allowed: the first "
            "above 0, the second above the first"
        )
    return Scaling(factor, low, high, settings.count("original_max_position_embeddings"))


def _windows(reader: _Reader, layers: int, kind: str) -> tuple[int, ...]:
    """Sliding windows by layer: as `layer_types` says, else Qwen's from `max_window_layers` on."""
    qwen = kind.startswith("qwen")
    used = reader.flag("use_sliding_window", default=not qwen)
    if reader.get("sliding_window") is None or not used:
        return ()
    window, kinds = reader.count("sliding_window"), reader.get("layer_types")
    if kinds is not None:
        if not isinstance(kinds, list) or len(kinds) != layers:
            raise ModelError(f"{reader.origin}: layer_types is no list of {layers} kinds")
        return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
    first = reader.values.get("max_window_layers", QWEN_FULL_LAYERS if qwen else 0)
    if type(first) is not int:
        raise ModelError(
            f"{reader.origin}: max_window_layers is {_shown(first)}; allowed: a number of layers"
        )
    return tuple(window if layer >= first else 0 for layer in range(layers))


def _gpt2(reader: _Reader) -> Decoder:
    decoder = _gpt(reader, "gpt2", reader.count("n_positions", "n_ctx", default=1024))
    return replace(
        decoder,
        learned_positions=True,
        tied=reader.flag("tie_word_embeddings", default=True),
        attention_scale=decoder.attention_scale if reader.flag("scale_attn_weights", default=True) else 1.0,
        scale_by_layer=reader.flag("scale_attn_by_inverse_layer_idx"),
    )


def _gptj(reader: _Reader) -> Decoder:
    decoder = _gpt(reader, "gptj", reader.count("n_positions", default=2048))
    return replace(
        decoder,
        rotary=Rotary(reader.count("rotary_dim", default=decoder.head_size), 10000.0, interleaved=True),
        parallel=True,
        tied=reader.flag("tie_word_embeddings"),
    )


def _gpt(reader: _Reader, kind: str, context: int) -> Decoder:
    """What GPT-2 and GPT-J share."""
    width, heads = reader.count("n_embd", "hidden_size"), reader.count("n_head", "num_attention_heads")
    size = _head_size(reader, width, heads)
    return Decoder(
        kind=kind,
        layers=reader.count("n_layer", "num_hidden_layers", most=MOST_LAYERS),
        width=width,
        heads=heads,
        key_heads=heads,
        head_size=size,
        inner=reader.count("n_inner", default=4 * width),
        vocabulary=reader.count("vocab_size"),
        context=context,
        norm="layer",
        epsilon=reader.real("layer_norm_epsilon", default=1e-5),
        activation=reader.activation("activation_function", default="gelu_new"),
        gated=False,
        attention_scale=size**-0.5,
        **_special_ids(reader),
    )


_KINDS: dict[str, Callable[[_Reader], Decoder]] = {
    "llama": _llama,
    "mistral": lambda reader: _llama(reader, "mistral"),
    "qwen2": lambda reader: _llama(reader, "qwen2"),
    "qwen3": lambda reader: _llama(reader, "qwen3"),
    "exaone": lambda reader: _llama(reader, "exaone"),
    "hyperclovax": lambda reader: _llama(reader, "hyperclovax"),
    "gptj": _gptj,
    "gpt2": _gpt2,
}
