"""Collects pairs of messages from catalogues, protects their spans, and sets whole catalogues aside."""

from __future__ import annotations

import json
import random
import re
import subprocess
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from catalogues import READERS

from hanok.flows.apps._translate_spans import (
    MOST_SPANS,
    pieces_of,
    plain_signs,
    protect_source,
    protect_target,
)

TESTS = {"pg_rewind": "PostgreSQL/pg_rewind-15.mo", "DocumentsUI": "DocumentsUI/"}
"""Catalogues that are never trained on: one of a server's tools, one of a phone's file manager."""
KOREAN_PATHS = {
    "android": re.compile(r"(.*/)?values-ko(-rKR)?/(?!donottranslate|config|cities)[^/]*\.xml"),
    "resources": re.compile(r".*/ko-KR/[^/]*\.resw"),
    "dictionary": re.compile(r".*/Languages/ko\.xaml"),
    "json": re.compile(r".*/(ko-KR\.json|resources\.resjson/ko-KR/resources\.resjson)"),
    "xliff": re.compile(r".*\.ko\.xlf"),
    "gettext": re.compile(r".*/ko\.po"),
    "compiled": re.compile(r".*\.mo"),
}
MOST_LETTERS = 200
HANGUL = re.compile(r"[가-힣]")
NEAR = 0.7
"""Trigrams that two messages share, of all that either has, from which they are near duplicates."""


@dataclass(frozen=True)
class Message:
    """A pair with placeholders, and what they stand for in the source."""

    catalogue: str
    source: str
    target: str
    spans: tuple[str, ...]


def collect(sources: Path) -> Iterator[tuple[str, str, str]]:
    """(catalogue, English, Korean) of all sources: git repositories, and a folder of .mo files."""
    table = tomllib.loads((Path(__file__).parent / "sources.toml").read_text())
    for name, source in table.items():
        folder = sources / name
        for path in _paths(folder):
            if not KOREAN_PATHS[source["reader"]].fullmatch(path):
                continue
            korean = _content(folder, path)
            english = _content(folder, _english_path(path))
            if korean is None or english is None:
                continue
            for first, second in READERS[source["reader"]](english, korean):
                yield f"{name}/{Path(path).name if source['reader'] == 'compiled' else path}", first, second


def _english_path(path: str) -> str:
    path = re.sub(r"values-ko(-rKR)?/", "values/", path)
    path = path.replace("/ko-KR/", "/en-US/").replace("/ko.xaml", "/en.xaml")
    return path.replace("locales/ko-KR.json", "locales/en.json")


def _paths(folder: Path) -> list[str]:
    if any(folder.glob("*.mo")):
        return sorted(f"{folder.name}/{path.name}" for path in folder.glob("*.mo"))
    command = ["git", "-C", str(folder), "ls-tree", "-r", "--name-only", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _content(folder: Path, path: str) -> bytes | None:
    if path.endswith(".mo"):
        return (folder.parent / path).read_bytes()
    command = ["git", "-C", str(folder), "show", f"HEAD:{path}"]
    result = subprocess.run(command, capture_output=True, check=False)
    return result.stdout if result.returncode == 0 else None


def messages(sources: Path) -> Iterator[Message]:
    """Every usable pair, cut into sentences where both languages have as many."""
    for catalogue, english, korean in collect(sources):
        first, second = _plain(english), _plain(korean)
        cut = [[piece for piece, _ in pieces_of(text, lambda _: True) if piece] for text in (first, second)]
        pairs = zip(*cut, strict=True) if len(cut[0]) == len(cut[1]) else [(first, second)]
        for source, target in pairs:
            message = _usable(catalogue, source.strip(), target.strip())
            if message:
                yield message


def _plain(text: str) -> str:
    text = re.sub(r"\s*\(&\w\)", "", text)
    text = re.sub(r"&(?=[A-Za-z])(?!\w+;)", "", text)
    text = re.sub(r"[ \t]+", " ", plain_signs(unicodedata.normalize("NFC", text)))
    return text.replace("。", ".").replace("，", ", ").strip()


def _usable(catalogue: str, source: str, target: str) -> Message | None:
    if not 2 <= len(source) <= MOST_LETTERS or len(target) > MOST_LETTERS or not HANGUL.search(target):
        return None
    if "\n" in source or "\n" in target or HANGUL.search(source):
        return None
    protected = protect_source(source)
    if len(protected.spans) > MOST_SPANS or not re.search("[A-Za-z]{2}", protected.text):
        return None
    found = protect_target(target, protected.spans)
    if found is None or not HANGUL.search(found):
        return None
    if not 0.15 < len(found) / len(protected.text) < 2.5:
        return None
    return Message(catalogue, protected.text, found, protected.spans)


def key_of(text: str) -> str:
    """What is left of a message when case, signs and placeholders are not looked at."""
    return " ".join(re.sub("[^a-z]+", " ", text.lower()).split())


def trigrams(text: str) -> frozenset[str]:
    """The groups of three letters of a message's key."""
    key = f" {key_of(text)} "
    return frozenset(key[place : place + 3] for place in range(len(key) - 2))


def near(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether two messages are near duplicates."""
    return len(first & second) >= NEAR * len(first | second)


def split(everything: list[Message], seed: int) -> dict[str, list[Message]]:
    """Training, validation and the test catalogues; a test message has no near duplicate in training."""
    tests = {name: [m for m in everything if m.catalogue.startswith(path)] for name, path in TESTS.items()}
    held = {message.catalogue for items in tests.values() for message in items}
    rest = _most_frequent([message for message in everything if message.catalogue not in held])
    kept = {name: _novel(_most_frequent(items), rest) for name, items in tests.items()}
    random.Random(seed).shuffle(rest)
    validation = _novel(rest[:600], rest[600:])
    return {"train": rest[600:], "validation": validation, **kept}


def _most_frequent(items: list[Message]) -> list[Message]:
    """One translation for each source: the one that most catalogues have."""
    groups: dict[str, list[Message]] = defaultdict(list)
    for message in items:
        groups[message.source].append(message)
    chosen = []
    for group in groups.values():
        best = Counter(message.target for message in group).most_common(1)[0][0]
        chosen.append(next(message for message in group if message.target == best))
    return chosen


def _novel(test: list[Message], train: list[Message]) -> list[Message]:
    by_gram: dict[str, set[int]] = defaultdict(set)
    grams = [trigrams(message.source) for message in train]
    for index, found in enumerate(grams):
        for gram in found:
            by_gram[gram].add(index)
    novel = []
    for message in test:
        own = trigrams(message.source)
        counts = Counter(index for gram in own for index in by_gram.get(gram, ()))
        likely = [index for index, count in counts.items() if count >= NEAR * len(own)]
        if not any(near(own, grams[index]) for index in likely):
            novel.append(message)
    return novel


def write(parts: dict[str, list[Message]], folder: Path) -> None:
    """A file of JSON lines for each part."""
    for name, items in parts.items():
        lines = [json.dumps(asdict(message), ensure_ascii=False) for message in items]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def read(folder: Path, name: str) -> list[Message]:
    """One part again."""
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return [Message(row["catalogue"], row["source"], row["target"], tuple(row["spans"])) for row in rows]
