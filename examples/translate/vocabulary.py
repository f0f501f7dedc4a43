"""The shared subword vocabulary of both languages: byte-level pairs, and tokens for the placeholders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from hanok.flows.apps._translate_spans import PLACEHOLDERS

START, END, PAD = 0, 1, 2
SPECIAL = ("<s>", "</s>", "<pad>")


def train_tokenizer(texts: Iterable[str], size: int, path: Path) -> Tokenizer:
    """Merge bytes into `size` tokens, and write tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *PLACEHOLDERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    blank = str.maketrans(dict.fromkeys("⟦⟧", " "))
    tokenizer.train_from_iterator((text.translate(blank) for text in texts), trainer)
    tokenizer.save(str(path), pretty=False)
    # placeholders are text that is kept, unlike the special tokens
    content = path.read_text()
    for token in PLACEHOLDERS:
        start = content.index(f'"content":"{token}"')
        end = content.index("}", start)
        content = (
            content[:start] + content[start:end].replace('"special":true', '"special":false') + content[end:]
        )
    path.write_text(content)
    return Tokenizer.from_file(str(path))
