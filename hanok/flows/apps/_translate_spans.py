"""Spans of a message that a translation copies (%s, numbers, names of options), and where to cut a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_SPANS = 10
"""Placeholders that the vocabulary holds; a piece with more spans is cut."""
LONGEST_WORD = 40
"""Characters of a word that is still translated; longer ones (keys, encoded data) are copied."""
_CONVERSION = (
    r"%\([A-Za-z0-9_]+\)[sd]"
    r"|%(?:\d+\$)?[-+#0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|ll|[hlLqjzt])?[diouxXeEfgGcspm@%]"
)
_URL_CHARACTER = r"[A-Za-z0-9_~:/?#\[\]@!$&*+=%.,;-]"
SPAN = re.compile(
    rf"https?://{_URL_CHARACTER}*[A-Za-z0-9_/=&#]"
    r"|[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    rf"|{_CONVERSION}"
    r"|\$?\{[^{}\s]*\}"
    r"|</?[A-Za-z][^<>]{0,60}>"
    r"|(?<![A-Za-z0-9_/.])(?:\.{0,2}/[A-Za-z0-9_.-]*[A-Za-z0-9_-]){2,}/?"
    r"|(?<![A-Za-z0-9_-])--?[A-Za-z][A-Za-z0-9_-]*"
    r"|(?<![A-Za-z0-9_])[A-Za-z0-9]*(?:_[A-Za-z0-9]+)+"
    r"|[0-9]+(?:[.,:][0-9]+)*"
    rf"|[^\s]{{{LONGEST_WORD},}}"
)
FOREIGN = re.compile(r"[A-Za-z0-9_'-]*(?:[^\s\x00-\x7f][A-Za-z0-9_'-]*)+")
"""A word with letters or signs that no English word has: copied, where it stands in a source."""
_SOURCE_SPAN = re.compile(f"{SPAN.pattern}|{FOREIGN.pattern}")
_PLACEHOLDER = re.compile("⟦([0-9])⟧")
_NUMBERED = re.compile(r"%[-+#0.\dhlLqjzt]*[diouxXeEfgGcsp]")
_PLAIN_SIGNS = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "–": "-",
        "—": "-",
        "…": "...",
        "\u00a0": " ",
        **{chr(code): " " for code in [*range(9), 11, 12, *range(14, 32), 127]},
    }
)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)\s+(?=[\"'(A-Z⟦%0-9])")
_LINE_END = re.compile(r"((?<!\s)\s*[\r\n\t]\s*)")


@dataclass(frozen=True)
class Protected:
    """A message whose spans are placeholders, and what stood there, in order."""

    text: str
    spans: tuple[str, ...]


def placeholder(index: int) -> str:
    """The token that stands for span number `index`."""
    return f"⟦{index}⟧"


PLACEHOLDERS = tuple(placeholder(index) for index in range(MOST_SPANS))


def plain_signs(text: str) -> str:
    """Typographic quotes, dashes and dots as ASCII has them; control characters as spaces."""
    return text.translate(_PLAIN_SIGNS)


def protect_source(text: str) -> Protected:
    """Put placeholders for the spans of an English message; the number of spans is not limited here."""
    spans: list[str] = []

    def keep(match: re.Match[str]) -> str:
        spans.append(match.group())
        return f"⟦{len(spans) - 1}⟧"

    return Protected(_SOURCE_SPAN.sub(keep, text), tuple(spans))


def protect_target(text: str, spans: Sequence[str]) -> str | None:
    """Put the same placeholders into a known translation; None where its spans are others.

    A numbered conversion (%2$s) is the second that is not numbered in the source.
    """
    left = dict(enumerate(spans))
    arguments = _arguments(spans)
    pieces, end = [], 0
    for match in SPAN.finditer(text):
        found = match.group()
        index = next((index for index, span in left.items() if span == found), None)
        if index is None and (numbered := re.match(r"%(\d+)\$", found)):
            place = int(numbered.group(1)) - 1
            index = arguments[place] if place < len(arguments) else None
        if index is None or left.pop(index, None) is None:
            return None
        pieces += [text[end : match.start()], placeholder(index)]
        end = match.end()
    return None if left else "".join([*pieces, text[end:]])


def several_arguments(spans: Sequence[str]) -> bool:
    """Whether a message has two or more conversions of printf, whose order may change."""
    return len(_arguments(spans)) > 1


def fill(text: str, order: Sequence[int], spans: Sequence[str]) -> str:
    """Put spans for the placeholders of a translation; `order` is how they stand in it, or did so far.

    Where conversions of printf change their order, they get their numbers: %s %d becomes %2$d %1$s.
    """
    arguments = _arguments(spans)
    found = [index for index in order if index in arguments]
    numbers = {} if found == arguments[: len(found)] else {index: n + 1 for n, index in enumerate(arguments)}

    def span(match: re.Match[str]) -> str:
        index = int(match.group(1))
        return f"%{numbers[index]}${spans[index][1:]}" if index in numbers else spans[index]

    return _PLACEHOLDER.sub(span, text)


def has_words(text: str) -> bool:
    """Whether anything is left to translate."""
    return re.search("[A-Za-z]{2}", text) is not None


def _arguments(spans: Sequence[str]) -> list[int]:
    return [index for index, span in enumerate(spans) if _NUMBERED.fullmatch(span)]


def pieces_of(text: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Cut a text into (piece, white space behind it): cells, lines, sentences, parts of what does not fit.

    Joined again, the pieces are the text. A word alone is a piece even where it does not fit.
    """
    core = text.strip()
    if not core:
        return [("", text)]
    start = text.index(core)
    parts = _LINE_END.split(core)
    pieces = [("", text[:start])] if start else []
    for line, end in zip(parts[::2], [*parts[1::2], text[start + len(core) :]], strict=True):
        cut = [*_sentences(line)]
        cut[-1] = (cut[-1][0], end)
        pieces += [part for sentence, space in cut for part in _fitting(sentence, space, fits)]
    return pieces


def _sentences(line: str) -> list[tuple[str, str]]:
    cut, start = [], 0
    for match in _SENTENCE_END.finditer(line):
        cut.append((line[start : match.start()], match.group()))
        start = match.end()
    return [*cut, (line[start:], "")]


def _fitting(sentence: str, end: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """A sentence whole, or halved near its middle, best behind a comma, until each part fits."""
    spaces = list(re.finditer(r"\s+", sentence))
    if not spaces or fits(sentence):
        return [(sentence, end)]
    middle, length = len(sentence) / 2, len(sentence)
    commas = [match for match in spaces if sentence[match.start() - 1] in ",;:"]
    usable = [match for match in commas if 0.2 < match.start() / length < 0.8]
    best = min(usable or spaces, key=lambda match: abs(match.start() - middle))
    return [
        *_fitting(sentence[: best.start()], best.group(), fits),
        *_fitting(sentence[best.end() :], end, fits),
    ]
