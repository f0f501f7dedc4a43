"""Recognition of copied designs: features of text, cells, registers and gates, and what chance would explain."""

from hanok.protect.clones.fingerprint import Fingerprint, fingerprint
from hanok.protect.clones.sources import SourceError, read_design

__all__ = [
    "Background",
    "Comparison",
    "Fingerprint",
    "SourceError",
    "fingerprint",
    "read_design",
]
