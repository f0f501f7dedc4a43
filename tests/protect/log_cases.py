"""Logs, entries and keys that tests of the transparency log share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sealing_cases import new_key

from hanok.protect.log import TransparencyLog

SIGNER, STRANGER = new_key("vendor"), new_key("stranger")
NOW = datetime(2027, 1, 1, tzinfo=UTC)
HASH = "ab" * 32


def mark(number: int) -> tuple[str, dict[str, str]]:
    return "mark", {"recipient": f"firm-{number}", "commitment": f"{number:064x}", "sha256": HASH}


def incident(text: str) -> tuple[str, dict[str, str]]:
    return "incident", {"summary": text}


def make_log(path: Path, batches: Iterable[int] = (3, 1, 300), start: int = 0) -> Path:
    """A log with marks, one signed head a batch."""
    with TransparencyLog.create(path, SIGNER, NOW) as log:
        number = start
        for batch in batches:
            log.append_many([mark(number + each) for each in range(batch)], NOW)
            number += batch
    return path
