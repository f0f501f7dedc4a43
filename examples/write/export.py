"""Writes the trained network as a language model's folder: int8 rows with scales, as hanok reads it."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from network import Shape, Writer
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokens import BEGIN, STOP

PARTS = {
    "input_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "inner_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
CALIBRATION = Path(__file__).parent / "calibration.txt"
"""Texts in the manner of the training text, written for hanok; activations are measured on them."""


def tensors(network: Writer) -> dict[str, torch.Tensor]:
    """Weights under Llama's names; the factor of the embedding goes into it, and out of the last norm."""
    factor = network.shape.width**0.5
    found = {
        "model.embed_tokens.weight": network.embedding.weight * factor,
        "model.norm.weight": network.final_norm.weight / factor,
    }
    for number, layer in enumerate(network.layers):
        for part, name in PARTS.items():
            found[f"model.layers.{number}.{name}.weight"] = getattr(layer, part).weight
    return {name: value.detach().float().contiguous() for name, value in found.items()}


def in_int8(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices as int8 rows with a float32 scale each."""
    found = {}
    for name, value in values.items():
        if value.ndim == 1:
            found[name] = value
            continue
        scale = value.abs().amax(1).clamp(min=1e-12) / 127
        found[name] = (value / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        found[f"{name}_scale"] = scale
    return found


def write_folder(network: Writer, tokenizer: Path, folder: Path, *, int8: bool = True) -> None:
    """config.json, generation_config.json, model.safetensors, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    values = tensors(network)
    save_file(in_int8(values) if int8 else values, folder / "model.safetensors")
    ids = Tokenizer.from_file(str(tokenizer))
    special = {"bos_token_id": ids.token_to_id(BEGIN), "eos_token_id": ids.token_to_id(STOP)}
    (folder / "config.json").write_text(json.dumps(_config(network.shape) | special, indent=1) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(special, indent=1) + "\n")
    if tokenizer.parent != folder:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")


def _config(shape: Shape) -> dict[str, object]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.theta,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }


def read_network(path: Path) -> Writer:
    """The network that `train.py` saved."""
    network = Writer(Shape())
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def main() -> None:
    """Write the folder, and the same in float32 beside it where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True, help="the folder of train.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float", type=Path)
    arguments = parser.parse_args()
    network = read_network(arguments.trained / "network.pt")
    tokenizer = arguments.trained / "tokenizer.json"
    write_folder(network, tokenizer, arguments.out)
    shutil.copyfile(CALIBRATION, arguments.out / CALIBRATION.name)
    if arguments.float:
        write_folder(network, tokenizer, arguments.float, int8=False)


if __name__ == "__main__":
    main()
