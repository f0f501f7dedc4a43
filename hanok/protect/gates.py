"""Marks in the gates of a core: the answers that nothing specifies, as a carrier (docs/protect/gates.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from hanok.protect._keyed import keyed_order
from hanok.protect.carrier import Bits, Evidence
from hanok.protect.rtl_delivery import MAKER, MANIFEST, RtlDelivery, read_rtl_delivery
from hanok.protect.tardos import FingerprintError

SUFFIXES = (".v", ".sv")
MOST_BYTES = 256 << 20
"""Of a suspect's Verilog; a netlist of LUTs takes 60 times the bytes of the core that it is of."""


@dataclass(frozen=True)
class GateMarks:
    """Room for marks in a folder of `hanok rtl`; a Carrier. The secret decides which answer carries which."""

    path: Path
    secret: bytes = field(repr=False)

    @cached_property
    def _delivery(self) -> RtlDelivery:
        return read_rtl_delivery(self.path)

    @cached_property
    def subject(self) -> str:
        """A digest of the core's Verilog without marks."""
        digest = hashlib.blake2b(digest_size=16)
        for text in self._delivery.sources:
            digest.update(hashlib.blake2b(text.encode()).digest())
        return f"gates {digest.hexdigest()}"

    @property
    def marks(self) -> int:
        """How many marks there is room for."""
        return self._delivery.marks

    @property
    def _order(self) -> Bits:
        return keyed_order(self.secret, ("gates", self.subject), self.marks).astype(np.int64)

    def embed(self, bits: Bits) -> Mapping[str, bytes]:
        """Return the folder's files with marked Verilog, and a manifest that fits them."""
        marked = self._delivery.marked([int(bit) for bit in bits[self._order]])
        digests = {name: hashlib.sha256(marked.files[name]).hexdigest() for name in sorted(marked.files)}
        manifest = {"maker": MAKER, **marked.about, "sha256": digests}
        return {**marked.files, MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()}

    def read(self, suspect: Path) -> Evidence:
        """Return the evidence of a core in Verilog, in a file or all files of a folder."""
        from hanok.rtl.mark_reader import read_marks

        files = [suspect] if suspect.is_file() else sorted(suspect.rglob("*"))
        files = [file for file in files if file.suffix.lower() in SUFFIXES]
        total = sum(file.stat().st_size for file in files)
        if total > MOST_BYTES:
            raise FingerprintError(
                f"{suspect}: {total:,} bytes of Verilog; allowed: at most {MOST_BYTES:,}, give the core alone"
            )
        texts = [file.read_text("utf-8", "replace") for file in files]
        answers = read_marks(self._delivery.chip, texts)
        evidence = np.full(self.marks, np.nan)
        evidence[self._order] = [np.nan if bit is None else 2.0 * bit - 1 for bit in answers]
        return evidence
