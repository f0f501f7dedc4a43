"""Language models of published shapes with made-up weights on a chip: tokens a second, energy, memory, time.

`python benchmarks/language_models.py [--chip edge] [--layers N] [--vocabulary N] [--prompt 100] [--tokens 4]
[--goal-db DB] [--weight-bits 4] [NAME ...]`

Weights are seeded random numbers, written to a temporary folder as a checkpoint in BF16 of the model's own
shape, tensor by tensor; cycles and energy do not depend on their values. With `--layers N` only the first N
layers are made, with `--vocabulary N` a smaller head: the difference between one and two layers is what each
further one costs. The text is noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hanok.flows.generate import open_language_model
from hanok.machine import Chip
from hanok.report.text import energy, milliseconds, percent, significant

SHAPES = {
    "HyperCLOVA X SEED 0.5B": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "HyperCLOVA X SEED 1.5B": {
        "hidden_size": 2048,
        "intermediate_size": 7168,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
}
"""With what is shared below they have 0.57 and 1.59 billion weights, as the model cards say."""
SHARED = {
    "model_type": "llama",
    "head_dim": 128,
    "vocab_size": 110592,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}
CHUNK = 1 << 22


def shapes_of(config: dict[str, object]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a Llama checkpoint."""
    width, inner = int(str(config["hidden_size"])), int(str(config["intermediate_size"]))
    heads, keys = int(str(config["num_attention_heads"])), int(str(config["num_key_value_heads"]))
    size = int(str(config["head_dim"]))
    yield "model.embed_tokens.weight", (int(str(config["vocab_size"])), width)
    for layer in range(int(str(config["num_hidden_layers"]))):
        stem = f"model.layers.{layer}."
        yield f"{stem}input_layernorm.weight", (width,)
        yield f"{stem}self_attn.q_proj.weight", (heads * size, width)
        yield f"{stem}self_attn.k_proj.weight", (keys * size, width)
        yield f"{stem}self_attn.v_proj.weight", (keys * size, width)
        yield f"{stem}self_attn.o_proj.weight", (width, heads * size)
        yield f"{stem}post_attention_layernorm.weight", (width,)
        yield f"{stem}mlp.gate_proj.weight", (inner, width)
        yield f"{stem}mlp.up_proj.weight", (inner, width)
        yield f"{stem}mlp.down_proj.weight", (width, inner)
    yield "model.norm.weight", (width,)


def write_checkpoint(folder: Path, config: dict[str, object]) -> int:
    """Write a folder with seeded weights in BF16; return how many they are."""
    shapes = dict(shapes_of(config))
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            left = int(np.prod(shape))
            while left:
                count = min(left, CHUNK)
                values = random.standard_normal(count, np.float32) * np.float32(shape[-1] ** -0.5)
                values += np.float32(len(shape) == 1)
                file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
                left -= count
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    vocabulary = {chr(256 + value): value for value in range(256)}
    model = {"type": "BPE", "vocab": vocabulary, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}), "utf-8")
    return end // 2


def measure(name: str, chip: Chip, options: argparse.Namespace) -> None:
    """Print one row."""
    config: dict[str, object] = {**SHARED, **SHAPES[name]}
    prompt, tokens = options.prompt, options.tokens
    config["num_hidden_layers"] = options.layers or config["num_hidden_layers"]
    config["vocab_size"] = options.vocabulary or config["vocab_size"]
    with TemporaryDirectory() as path:
        count = write_checkpoint(Path(path), config)
        texts = ["".join(chr(256 + (7 * k + 31 * n) % 256) for k in range(16)) for n in range(2)]
        model = open_language_model(
            path, chip, texts=texts, check=False, goal_db=options.goal_db, weight_bits=options.weight_bits
        )
        ids = np.random.default_rng(1).integers(0, int(str(config["vocab_size"])), prompt).tolist()
        begin = time.perf_counter()
        model.prepare(ids, tokens)
        prepared = time.perf_counter() - begin
        text = model.generate(ids, tokens)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name}, {config['num_hidden_layers']} layers, {count / 1e9:.3f} billion weights, {chip.name}: "
        f"first token of {prompt} after {milliseconds(text.first_token_ms)}, then "
        f"{significant(text.tokens_per_second)} tokens a second at {energy(1e3 * text.joules_per_token)} "
        f"each; quantised and compiled in {prepared:.0f} s, {text.wall_seconds / tokens:.1f} s a run, "
        f"{peak:.1f} GiB at most",
        flush=True,
    )
    for figures in (*text.reading, *text.making):
        record = figures.result.record
        print(
            f"  {figures.kind} {figures.length}: {record.cycles:,} cycles, multipliers "
            f"{percent(record.utilisation)} busy, {record.dram_read_bytes:,} bytes read and "
            f"{record.dram_write_bytes:,} written, {len(record.host_operators)} host operators; emulated in "
            f"{record.seconds.emulate:.2f} s, timed in {record.seconds.time:.2f} s; {record.verdict}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHAPES))
    parser.add_argument("--chip", default="edge")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--vocabulary", type=int, default=0)
    parser.add_argument("--prompt", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--weight-bits", type=int, choices=(8, 4), default=8)
    parser.add_argument("--goal-db", type=float, help="0 gives every operand one part")
    options = parser.parse_args()
    for name in options.names or SHAPES:
        measure(name, Chip.load(options.chip), options)


if __name__ == "__main__":
    main()
