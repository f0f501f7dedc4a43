"""Writes the shipped files from a trained network: int8 models, tables, vocabulary, and what was measured.

`python examples/translate/make_model.py FOLDER OUT`: FOLDER has network.npz, tokenizer.json and the pairs.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import data
import numpy as np
from onnx import ModelProto
from onnx_form import Weights, decoder_model, encoder_model
from scores import chrf, exact
from tokenizers import Tokenizer
from vocabulary import END, PAD, START

from hanok.flows.apps._translate_network import Run, SentenceMachine, Tables, Values
from hanok.flows.apps._translate_spans import PLACEHOLDERS, fill
from hanok.graph.oracle import reference_session, run_session
from hanok.graph.quantise import quantise_model

LONGEST_SOURCE = 40
CALIBRATION_SENTENCES = 48
KEPT_STEPS = 160
SEED = 0
ABOUT = """\
# What the models of this folder are; written by examples/translate/make_model.py.
direction = "English to Korean, messages of software"
architecture = "transformer, {encoder_layers} encoder and {decoder_layers} decoder layers, width {width}, \
{heads} heads, {hidden} hidden, vocabulary {vocabulary}, {places} places"
parameters = {parameters}

[tokens]
start = {start}
end = {end}
pad = {pad}
placeholders = {placeholders}
longest_source = {longest_source}

[training]
pairs = {pairs}
epochs = {epochs}
steps = {steps}

# chrF2 and the share of translations that equal the catalogue's, on catalogues that were never trained on,
# without messages that are near duplicates of trained ones.
{quality}
[data]
source = "message catalogues of PostgreSQL, Subversion, Android applications and MIT-licensed programs; \
examples/translate/sources.toml lists them with their commits"
licence = "of the catalogues: PostgreSQL Licence, Apache-2.0, MIT; none is part of hanok. The weights: \
Apache-2.0, as hanok itself"
"""


def main() -> None:
    """Quantise, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    folder, out = arguments.folder, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    weights = Weights.load(folder / "network.npz")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows, scales = rounded_rows(weights.embedding)
    tables = tables_of(rows * scales[:, None], weights, tokenizer)
    floats = (encoder_model(weights), decoder_model(weights))
    int8 = quantised(floats, tables, tokenizer, data.read(folder, "train"))
    shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    np.savez(out / "rows.npz", rows=rows, scales=scales, positions=weights.positions)
    for name, model in zip(("encoder", "decoder"), int8, strict=True):
        (out / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    quality = ""
    for name in data.TESTS:
        test = data.read(folder, name)
        figures = [f"[quality.{name}]", f"messages = {len(test)}"]
        for kind, models in (("float32", floats), ("int8", int8)):
            made = translations(models, tables, tokenizer, test)
            wanted = [fill(message.target, [], message.spans) for message in test]
            figures += [
                f"{kind}_chrf = {chrf(made, wanted):.1f}",
                f"{kind}_exact = {exact(made, wanted):.3f}",
            ]
        print("\n".join(figures))
        quality += "\n".join(figures) + "\n\n"
    pairs = len(data.read(folder, "train"))
    (out / "translate.toml").write_text(about(weights, tables, pairs, quality))


def rounded_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 rows and the scale of each."""
    scales = (np.abs(rows).max(1) / 127).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def tables_of(rows: np.ndarray, weights: Weights, tokenizer: Tokenizer) -> Tables:
    """What the host looks up."""
    placeholders = tuple(int(tokenizer.token_to_id(name)) for name in PLACEHOLDERS)
    return Tables(rows.astype(np.float32), weights.positions, START, END, PAD, placeholders, LONGEST_SOURCE)


def run_of(model: ModelProto) -> Run:
    """A model in ONNX Runtime."""
    session = reference_session(model)
    return lambda values: run_session(session, values)


def translations(
    models: Sequence[ModelProto], tables: Tables, tokenizer: Tokenizer, messages: Sequence[data.Message]
) -> list[str]:
    """Texts, by ONNX Runtime."""
    machine = SentenceMachine(tables, *map(run_of, models))
    made = []
    for message in messages:
        tokens = list(tokens_of(machine, tables, tokenizer, message))
        text = tokenizer.decode([token for token in tokens if token != END]).strip()
        made.append(fill(text, [], message.spans))
    return made


def tokens_of(
    machine: SentenceMachine, tables: Tables, tokenizer: Tokenizer, message: data.Message
) -> Iterator[int]:
    """One message; a source that is too long loses its end."""
    source = tokenizer.encode(message.source).ids[: tables.longest_source - 1]
    copies = [token for token in tables.placeholders[: len(message.spans)] if token in source]
    return machine.translate([*source, END], copies)


def quantised(
    models: Sequence[ModelProto], tables: Tables, tokenizer: Tokenizer, train: Sequence[data.Message]
) -> list[ModelProto]:
    """Both models in int8, calibrated with sentences of the training and the steps that translate them."""
    seen: tuple[list[Values], list[Values]] = ([], [])

    def watched(run: Run, samples: list[Values]) -> Callable[[Values], Values]:
        def watching(values: Values) -> Values:
            samples.append({name: value.copy() for name, value in values.items()})
            return run(values)

        return watching

    runs = [watched(run_of(model), samples) for model, samples in zip(models, seen, strict=True)]
    machine = SentenceMachine(tables, *runs)
    for message in random.Random(SEED).sample(list(train), CALIBRATION_SENTENCES):
        for _ in tokens_of(machine, tables, tokenizer, message):
            pass
    kept = random.Random(SEED).sample(seen[1], min(KEPT_STEPS, len(seen[1])))
    made = []
    for model, samples in zip(models, (seen[0], kept), strict=True):
        result = quantise_model(model, samples)
        record = result.record
        print(f"{model.graph.name}: {record.snr_plain_db:.1f} dB, {record.snr_repaired_db:.1f} dB repaired")
        made.append(result.model)
    return made


def about(weights: Weights, tables: Tables, pairs: int, quality: str) -> str:
    """The text of translate.toml."""
    return ABOUT.format(
        **weights.shape,
        parameters=sum(array.size for array in weights.arrays.values()),
        start=START,
        end=END,
        pad=PAD,
        placeholders=list(tables.placeholders),
        longest_source=tables.longest_source,
        pairs=pairs,
        epochs=weights.about["epoch"],
        steps=weights.about["steps"],
        quality=quality,
    )


if __name__ == "__main__":
    main()
