"""What a transparency log says of a recipient, as events of the report of a leak."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from hanok.protect.keys import PublicKey
from hanok.protect.log import TransparencyLog
from hanok.protect.log_entries import Entry, LogError
from hanok.protect.log_verify import verify_file
from hanok.protect.merkle import leaf_hash
from hanok.rules.leak_report import Event

MOST_EVENTS = 200
"""A report is read by people; with more entries it takes an export of the log beside it."""


def leak_events(log: Path, signer: PublicKey, recipients: Collection[PublicKey]) -> tuple[Event, ...]:
    """Return the entries that concern these recipients, and all incidents, each with its leaf and the head.

    Deliveries and statements name a recipient by the fingerprint of the key, marks by the key's name. The
    whole log is verified first: raises LogError where it is not as `signer` signed it, or where there are
    too many entries for a report.
    """
    newest = verify_file(log, signer).newest.head
    names, prints = ({getattr(key, part) for key in recipients} for part in ("name", "fingerprint"))
    where = f"tree of {newest.size} entries, root {newest.root.hex()}, {newest.time}"
    found = []
    with TransparencyLog.open(log) as opened:
        for entry in opened.entries():
            if entry.position < newest.size and _concerns(entry, names, prints):
                leaf = leaf_hash(opened.entry_bytes(entry.position)).hex()
                proof = f"entry {entry.position}, leaf {leaf}, {where}"
                found.append(Event(time=entry.at, what=_words(entry), proof=proof))
            if len(found) > MOST_EVENTS:
                raise LogError(
                    f"{log}: more than {MOST_EVENTS} entries concern these recipients; name fewer with --of, "
                    "or attach an export (`hanok protect log export`)"
                )
    return tuple(found)


def _concerns(entry: Entry, names: set[str], prints: set[str]) -> bool:
    if entry.kind in ("incident", "mark"):
        return entry.kind == "incident" or entry.fields["recipient"] in names
    who = entry.fields.get("recipients", entry.fields.get("recipient"))
    return bool(prints & set(who if isinstance(who, list) else [who]))


def _words(entry: Entry) -> str:
    """The entry in one line, long digests cut."""
    return f"{entry.kind}: {', '.join(_parts(entry))}"[:400]


def _parts(entry: Entry) -> Iterator[str]:
    for name, value in entry.fields.items():
        texts = [str(part) for part in value] if isinstance(value, list) else [str(value)]
        yield f"{name} {' '.join(text[:16] if len(text) == 64 else text for text in texts)}"
