"""The tokenizer: byte pair encoding of Korean words, with bytes for what the training text has not."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

VOCABULARY = 4096
BEGIN, STOP = "<s>", "</s>"
"""Ids 0 and 1."""
BYTES = [f"<0x{value:02X}>" for value in range(256)]
LETTERS = 1500
"""The commonest characters; rarer ones are written as bytes."""
SPACE = "▁"


def train(texts: Sequence[str]) -> Tokenizer:
    """Learn VOCABULARY tokens: two special ones, all bytes, letters, and pairs."""
    tokenizer = Tokenizer(models.BPE(unk_token=None, byte_fallback=True, fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Prepend(SPACE),
            normalizers.Replace(" ", SPACE),
            normalizers.Replace("\n", f"\n{SPACE}"),
        ]
    )
    words = Regex(f"{SPACE}?[^{SPACE}\\n0-9]+|{SPACE}?[0-9]|{SPACE}|\\n")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(words, "isolated")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Replace("\n ", "\n"),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, STOP, *BYTES],
        limit_alphabet=LETTERS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_plain_bytes(tokenizer)


def _with_plain_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, in which bytes are tokens that text cannot spell, not special ones."""
    import json

    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens([AddedToken(BEGIN, special=True), AddedToken(STOP, special=True)])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)]
    )
    return tokenizer
