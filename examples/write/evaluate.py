"""Holds the int8 decoder, as hanok runs it, against the float one on text that training never saw."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from text import Document, Split, pieces

from hanok.flows._language_folder import Feed, FolderMachine, ProgramRequest
from hanok.flows._text import Tokenizer
from hanok.flows._token_program import TokenProgram
from hanok.flows.generate import calibration_texts
from hanok.graph.language.build import LOGITS, part_model
from hanok.graph.language.names import open_checkpoint
from hanok.graph.language.quantised import decoder_parts, quantised_decoder
from hanok.graph.oracle import reference_session, run_session

Array = npt.NDArray[Any]
PLACES = 255
"""Of the decoder's cache: the context, less the token that is read."""


@dataclass
class Score:
    """Sums over tokens."""

    nats: float = 0.0
    tokens: int = 0
    characters: int = 0
    same: int = 0
    """Tokens whose likeliest successor is the float decoder's."""

    @property
    def bits(self) -> float:
        """Bits a character; each stop counts as one."""
        return self.nats / np.log(2) / self.characters


class Decoder:
    """A decode model in ONNX Runtime, with the cache that the host keeps."""

    def __init__(self, model: Any, feed: Feed) -> None:
        self._session = reference_session(model)
        self._feed = feed

    def logits(self, ids: list[int]) -> Iterator[Array]:
        """Of what comes behind each token."""
        cache = self._feed.empty_cache()
        for filled, token in enumerate(ids):
            values = self._feed.decode(token, cache.view(PLACES), filled, PLACES)
            outputs = run_session(self._session, values)
            cache.append(self._feed.new_rows(outputs, 1))
            yield outputs[LOGITS].reshape(-1)


def quantised(folder: Path, tokenizer: Tokenizer) -> Any:
    """The int8 decode model, calibrated as hanok calibrates it."""
    checkpoint = open_checkpoint(folder)
    texts = [tokenizer.encode(text) for text in calibration_texts(folder)]
    samples = FolderMachine(checkpoint, texts, compile=_compile_nothing)._decode_samples(PLACES)
    return quantised_decoder(checkpoint, 1, PLACES, samples).model


def _compile_nothing(request: ProgramRequest) -> TokenProgram:
    raise AssertionError(f"{request.kind}: only samples are wanted")


def compare(
    real: Decoder, int8: Decoder, encode: Callable[[str], list[int]], texts: list[str], stop: int
) -> tuple[Score, Score]:
    """Scores of both on the same texts."""
    scores = Score(), Score()
    for text in texts:
        ids = encode(text)
        targets = [*ids[1:], stop]
        for target, *both in zip(targets, real.logits(ids), int8.logits(ids), strict=True):
            likeliest = int(np.argmax(both[0]))
            for score, logits in zip(scores, both, strict=True):
                score.nats += float(np.logaddexp.reduce(logits.astype(np.float64)) - logits[target])
                score.tokens += 1
                score.same += int(np.argmax(logits)) == likeliest
        for score in scores:
            score.characters += len(text) + 1
    return scores


def sample(documents: list[Document], tokenizer: Tokenizer, count: int) -> list[str]:
    """So many pieces that fit the context."""
    return [piece for piece in pieces(documents, 0) if len(tokenizer.encode(piece)) <= PLACES][:count]


def main() -> None:
    """Print the scores as JSON, by source and of all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the int8 folder of export.py")
    parser.add_argument("--float", type=Path, required=True, help="the float32 folder of export.py")
    parser.add_argument("--split", type=Path, required=True, help="split.pickle of train.py")
    parser.add_argument("--pieces", type=int, default=40, help="of each source, at most")
    arguments = parser.parse_args()
    split: Split = pickle.loads(arguments.split.read_bytes())
    checkpoint = open_checkpoint(arguments.float)
    tokenizer = Tokenizer(arguments.folder / "tokenizer.json", checkpoint.decoder.vocabulary)
    whole = decoder_parts(checkpoint.decoder)[0]
    real = Decoder(part_model(checkpoint, 1, PLACES, whole), Feed(checkpoint))
    shipped = open_checkpoint(arguments.folder)
    int8 = Decoder(quantised(arguments.folder, tokenizer), Feed(shipped))
    results = {}
    for source in ("speeches", "news", "reviews", "tales"):
        documents = [document for document in split.test if document.source == source]
        texts = sample(documents, tokenizer, arguments.pieces)
        scores = compare(real, int8, tokenizer.encode, texts, checkpoint.decoder.stop_ids[0])
        results[source] = {
            "pieces": len(texts),
            "tokens": scores[0].tokens,
            "bits_per_character_float": round(scores[0].bits, 4),
            "bits_per_character_int8": round(scores[1].bits, 4),
            "same_likeliest_token": round(scores[1].same / scores[1].tokens, 4),
        }
        print(json.dumps({source: results[source]}), flush=True)


if __name__ == "__main__":
    main()
