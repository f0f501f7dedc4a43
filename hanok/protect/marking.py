"""From files to the marked copy of a recipient, and from a leak to whoever leaked it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanok.errors import HanokError
from hanok.protect.accuse import Accusation, accuse
from hanok.protect.carrier import Bits, Carrier, Evidence
from hanok.protect.figures import FigureMarks
from hanok.protect.specification import read_text
from hanok.protect.tardos import Code, FingerprintError, checked_name
from hanok.protect.weights import WeightMarks

MOST_FILES, MOST_BYTES = 100_000, 4 << 30
MOST_RECIPIENTS = 10_000


@dataclass(frozen=True)
class Kind:
    """A kind of carrier: endings of its originals and of suspects ('' for every other ending), its maker."""

    name: str
    originals: tuple[str, ...]
    suspects: tuple[str, ...]
    make: Callable[[Path, bytes], Carrier]


KINDS = (
    Kind("int8 weights", (".onnx",), (".onnx",), WeightMarks),
    Kind("specification", (".toml",), ("",), FigureMarks),
)
"""RTL joins as a third row with its own Carrier."""
_OWN_SUFFIXES = {suffix for kind in KINDS for suffix in kind.suspects if suffix}


@dataclass(frozen=True)
class Part:
    """A file with marks. found: marks that were read, of a trace; all of them in a copy."""

    path: str
    kind: str
    subject: str
    marks: int
    found: int


@dataclass(frozen=True)
class Marked:
    """A copy for one recipient: its files by path, the marked ones, and why others carry no marks."""

    recipient: str
    files: Mapping[str, bytes]
    parts: tuple[Part, ...]
    unmarked: tuple[str, ...]

    @property
    def record(self) -> dict[str, str]:
        """What a log keeps of it: recipient, subjects, and a digest of the copy."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name!r}".encode() + hashlib.sha256(self.files[name]).digest())
        subjects = " ".join(part.subject.replace(" ", ":") for part in self.parts)
        return {"recipient": self.recipient, "subjects": subjects, "sha256": digest.hexdigest()}


@dataclass(frozen=True)
class Suspicion:
    """One recipient's standing. agreeing, expected: marks that fit its word, and an innocent's on average.

    step: round in which it was accused, 0: not accused.
    """

    recipient: str
    bound: float
    step: int
    agreeing: int
    expected: float


@dataclass(frozen=True)
class Trace:
    """What a leak says. accused: the surest first; others: those nearest to an accusation, not accused."""

    leaked: str
    leaked_sha256: str
    original: str
    limit: float
    recipients: int
    parts: tuple[Part, ...]
    accused: tuple[Suspicion, ...]
    others: tuple[Suspicion, ...]

    @property
    def marks(self) -> int:
        """Marks of all parts."""
        return sum(part.marks for part in self.parts)

    @property
    def found(self) -> int:
        """Marks that were read."""
        return sum(part.found for part in self.parts)


def mark(paths: Sequence[Path], recipient: str, secret: bytes) -> Marked:
    """Return the copy of files and folders that is `recipient`'s: all that can carry marks is marked."""
    name = checked_name(recipient)
    files = {relative: path.read_bytes() for relative, path in _collected(paths).items()}
    parts: list[Part] = []
    unmarked: list[str] = []
    for relative, path, kind in _originals(paths):
        try:
            carrier = kind.make(path, secret)
            copy = carrier.embed(Code(secret, carrier.subject, carrier.marks).word(name))
        except HanokError as error:
            unmarked.append(str(error))
            continue
        folder = relative.rpartition("/")[0]
        files |= {f"{folder}/{inner}" if folder else inner: data for inner, data in copy.items()}
        parts.append(Part(relative, kind.name, carrier.subject, carrier.marks, carrier.marks))
    if not parts:
        endings = ", ".join(suffix for kind in KINDS for suffix in kind.originals)
        raise FingerprintError(
            unmarked[0]
            if unmarked
            else f"{paths[0]}: nothing in it can carry marks; allowed: files that end in {endings}"
        )
    return Marked(name, files, tuple(parts), tuple(unmarked))


def trace(leaked: Path, original: Path, secret: bytes, recipients: Sequence[str], limit: float) -> Trace:
    """Say who leaked; an innocent recipient is accused with a probability of `limit` at most.

    leaked, original: a file or a folder each. Evidence of all carriers counts together.
    """
    suspects = _collected([leaked])
    parts: list[Part] = []
    evidence, biases, words = [np.zeros(0)], [np.zeros(0)], [np.zeros((len(recipients), 0), np.uint8)]
    for relative, path, kind in _originals([original]):
        carrier = _usable(kind, path, secret)
        if carrier is None:
            continue
        seen = _best_read(carrier, kind, suspects)
        code = Code(secret, carrier.subject, carrier.marks)
        parts.append(Part(relative, kind.name, carrier.subject, carrier.marks, _count(seen)))
        evidence.append(seen)
        biases.append(code.biases)
        words.append(code.words(recipients))
    if not parts:
        raise FingerprintError(
            f"{original}: nothing in it can carry marks; give the original that was marked"
        )
    kinds = [kind for kind in KINDS if kind.name in {part.kind for part in parts}]
    if not any(_shows(path, kind) for path in suspects.values() for kind in kinds):
        raise FingerprintError(
            f"{leaked}: no file that could show marks of {' or '.join(kind.name for kind in kinds)}; give "
            "the model for weights, or a list of copied values (TOML, CSV or text) for a specification"
        )
    bits, seen = np.concatenate(words, axis=1), np.concatenate(evidence)
    accusation = accuse(np.concatenate(biases), bits, seen, limit)
    standing = _standing(accusation, np.concatenate(biases), bits, seen, recipients)
    return Trace(
        str(leaked),
        _digest(suspects),
        str(original),
        limit,
        len(recipients),
        tuple(parts),
        tuple(standing[row] for row in accusation.accused),
        tuple(sorted((each for each in standing if not each.step), key=lambda each: each.bound)[:5]),
    )


def read_recipients(path: Path) -> tuple[str, ...]:
    """Return the names of a TOML file `recipients = ["acme", ...]`: everyone who was given a copy."""
    try:
        content = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FingerprintError(f"{path}: not a TOML file: {str(error)[:200]}") from None
    names = content.get("recipients")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise FingerprintError(f'{path}: no names; allowed: recipients = ["acme", "another"]')
    if len(names) > MOST_RECIPIENTS:
        raise FingerprintError(f"{path}: {len(names):,} names; allowed: at most {MOST_RECIPIENTS:,}")
    checked = tuple(dict.fromkeys(checked_name(name) for name in names))
    if len(checked) < len(names):
        raise FingerprintError(f"{path}: a recipient is named twice; name everyone once")
    return checked


def _collected(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their path in a copy; links and what is no file are refused."""
    found: dict[str, Path] = {}
    total = 0
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else [path]
        for file in inside:
            if file.is_symlink() or not (file.is_file() or file.is_dir()):
                what = "is a link or a device" if file.is_symlink() or file.exists() else "does not exist"
                raise FingerprintError(f"{file}: {what}; give files and folders")
            if file.is_dir():
                continue
            relative = file.relative_to(path).as_posix() if path.is_dir() else file.name
            if relative in found:
                raise FingerprintError(f"{file}: another file of this copy is called '{relative}' too")
            found[relative] = file
            total += file.stat().st_size
            if len(found) > MOST_FILES or total > MOST_BYTES:
                raise FingerprintError(
                    f"{path}: more than {MOST_FILES:,} files or {MOST_BYTES >> 30} GiB; mark its parts"
                )
    return found


def _originals(paths: Sequence[Path]) -> list[tuple[str, Path, Kind]]:
    """Files that look as if they could carry marks; a TOML file in a folder only if it has values."""
    found = []
    for relative, path in _collected(paths).items():
        for kind in KINDS:
            if path.suffix.lower() not in kind.originals:
                continue
            if path in paths or path.suffix.lower() != ".toml" or "[[value]]" in _start(path):
                found.append((relative, path, kind))
    return found


def _start(path: Path) -> str:
    try:
        return read_text(path)
    except FingerprintError:
        return ""


def _usable(kind: Kind, path: Path, secret: bytes) -> Carrier | None:
    """The carrier, or None where `mark` left the file unmarked."""
    try:
        carrier = kind.make(path, secret)
        return carrier if carrier.marks else None
    except HanokError:
        return None


def _best_read(carrier: Carrier, kind: Kind, suspects: Mapping[str, Path]) -> Evidence:
    """Evidence of the suspect file that shows most marks; what cannot be read shows none."""
    best: Evidence = np.full(carrier.marks, np.nan)
    for path in suspects.values():
        if not _shows(path, kind):
            continue
        try:
            seen = carrier.read(path)
        except HanokError:
            if len(suspects) == 1:
                raise
            continue
        if _weight(seen) > _weight(best):
            best = seen
    return best


def _shows(suspect: Path, kind: Kind) -> bool:
    suffix = suspect.suffix.lower()
    return (suffix if suffix in _OWN_SUFFIXES else "") in kind.suspects


def _weight(evidence: Evidence) -> float:
    return float(np.abs(np.nan_to_num(evidence)).sum())


def _count(evidence: Evidence) -> int:
    return int(np.count_nonzero(np.nan_to_num(evidence)))


def _standing(
    accusation: Accusation, biases: Evidence, words: Bits, evidence: Evidence, recipients: Sequence[str]
) -> list[Suspicion]:
    shown = np.nan_to_num(evidence)
    read = shown != 0
    agreeing = ((words[:, read] == 1) == (shown[read] > 0)).sum(axis=1)
    expected = float(np.where(shown > 0, biases, 1 - biases)[read].sum())
    return [
        Suspicion(name, float(bound), int(step), int(fits), expected)
        for name, bound, step, fits in zip(
            recipients, accusation.bounds, accusation.steps, agreeing, strict=True
        )
    ]


def _digest(files: Mapping[str, Path]) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files."""
    digests = {name: hashlib.sha256(path.read_bytes()) for name, path in files.items()}
    if len(digests) == 1:
        return next(iter(digests.values())).hexdigest()
    text = "".join(f"{digests[name].hexdigest()}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()
