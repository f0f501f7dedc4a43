"""Between text and token ids: a tokenizer.json, and the stream of whole characters that tokens make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanok.errors import HanokError, ModelError
from hanok.flows.arrays import InputError

TOKENIZER_NAME = "tokenizer.json"
MAX_TOKENIZER_BYTES = 256 << 20
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""Stands where bytes of a character are still missing."""


class Tokenizer:
    """A tokenizer.json, read by the `tokenizers` package, whose ids all fit a vocabulary."""

    def __init__(self, path: Path, vocabulary: int) -> None:
        self._tokenizer = _load(path)
        largest = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if not 0 <= largest < vocabulary:
            raise ModelError(
                f"{path}: token ids up to {largest}; the model's vocabulary has {vocabulary}; it is another "
                "model's tokenizer"
            )

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the special tokens that the tokenizer puts around it."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError("the prompt is not valid UTF-8; give it in UTF-8") from None
        return list(self._tokenizer.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


class TextStream:
    """Gives the text of a growing list of tokens piece by piece, never half a character."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt)
        self._given = len(tokenizer.decode(self._ids))

    def add(self, token: int) -> str:
        """Return the text that a further token completes."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith(_UNFINISHED):
            return ""
        return self._rest(text)

    def finish(self) -> str:
        """Return what is left, with its unfinished characters."""
        return self._rest(self._tokenizer.decode(self._ids))

    def _rest(self, text: str) -> str:
        piece, self._given = text[self._given :], len(text)
        return piece


def _load(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise HanokError(
            "text needs the package tokenizers; install it with: pip install 'hanok[language]'"
        ) from None
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        raise ModelError(f"{path}: {path.stat().st_size} bytes; allowed: at most {MAX_TOKENIZER_BYTES}")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(f"{path}: no tokenizer that can be read: {str(error)[:200]}") from None
