"""Writes training, validation and test pairs, and the vocabulary, from catalogues.

`python examples/translate/make_data.py SOURCES FOLDER`: SOURCES holds a git repository for each entry of
sources.toml, and the folder PostgreSQL with the Korean .mo files of its packages.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import data
import vocabulary

VOCABULARY = 4096
SEED = 0


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    parts = data.split(list(data.messages(arguments.sources)), SEED)
    data.write(parts, arguments.folder)
    texts = [text for message in parts["train"] for text in (message.source, message.target)]
    vocabulary.train_tokenizer(texts, VOCABULARY, arguments.folder / "tokenizer.json")
    for name, items in parts.items():
        print(f"{name}: {len(items)} pairs")


if __name__ == "__main__":
    main()
