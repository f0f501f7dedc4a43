"""Evidence: what the duties of the packs ask for, what was given, and the hash of every file that was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hanok.rules._record import MAX_WORDS, Record, Words
from hanok.rules.assess import PackFindings
from hanok.rules.errors import RulesError
from hanok.rules.load import builtin_evidence
from hanok.rules.pack import Evidence

MAX_EVIDENCE_BYTES = 8 << 30
_CHUNK_BYTES = 1 << 20


class Given(Record):
    """A piece of evidence as a declaration names it: a file, words, or both."""

    file: Annotated[str, Field(max_length=1000)] = ""
    words: Words = ""


@dataclass(frozen=True)
class EvidenceState:
    """One piece that a duty asks for; `shown` is empty where nothing was given."""

    evidence: Evidence
    shown: str
    sha256: str = ""

    @property
    def given(self) -> bool:
        """Whether anything was given; not whether it suffices, which people judge."""
        return self.shown != ""


@dataclass(frozen=True)
class Checklist:
    """The evidence of one rule that holds, or of which it is unknown whether it does."""

    rule: str
    items: tuple[EvidenceState, ...]


def checklists(
    packs: Sequence[PackFindings], given: Mapping[str, Given | str], folder: Path, origin: str
) -> tuple[Checklist, ...]:
    """Return a checklist for each rule that may hold and asks for evidence.

    Files are found from `folder`. Raises RulesError for evidence that no rule asks for, and for files that
    are not there.
    """
    known = {item.id for findings in packs for rule in findings.pack.rule for item in rule.evidence}
    for name in given:
        if name not in known | builtin_evidence():
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]}?" if near else f"asked for are: {', '.join(sorted(known)) or 'none'}"
            )
            raise RulesError(f"{origin}: evidence.{name}: no rule of the packs in use asks for this; {hint}")
    states = {name: _look(name, entry, folder, origin) for name, entry in given.items()}
    return tuple(
        Checklist(
            finding.rule.id,
            tuple(EvidenceState(item, *states.get(item.id, ("", ""))) for item in finding.rule.evidence),
        )
        for findings in packs
        for finding in findings.findings
        if finding.rule.evidence and finding.verdict in ("yes", "unknown")
    )


def sha256_of(path: Path, where: str) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a regular file; raises RulesError that begins with `where`."""
    try:
        if path.is_symlink() or not path.is_file():
            raise RulesError(f"{where}: '{path}' is no file; links and folders are not taken")
        size = path.stat().st_size
        if size > MAX_EVIDENCE_BYTES:
            raise RulesError(f"{where}: '{path}' has {size} bytes; at most {MAX_EVIDENCE_BYTES}")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:
        raise RulesError(f"{where}: cannot be read: {getattr(error, 'strerror', '') or error}") from None
    return size, digest.hexdigest()


def _look(name: str, entry: Given | str, folder: Path, origin: str) -> tuple[str, str]:
    """What is shown of a piece of evidence, and its hash."""
    item = Given(words=entry[:MAX_WORDS]) if isinstance(entry, str) else entry
    if not item.file and not item.words:
        raise RulesError(f'{origin}: evidence.{name}: is empty; give words, or {{ file = "..." }}')
    if not item.file:
        return item.words, ""
    size, digest = sha256_of(folder / item.file, f"{origin}: evidence.{name}")
    about = f"; {item.words}" if item.words else ""
    return f"{item.file}, {size:,} bytes{about}", digest
