"""Recognition of copied designs: features of text, words and gates, and what chance would explain."""

from hanok.protect.clones.background import Background, load_background
from hanok.protect.clones.compare import Comparison, compare
from hanok.protect.clones.fingerprint import FAMILIES, Fingerprint, fingerprint
from hanok.protect.clones.sources import SourceError, read_design

__all__ = [
    "FAMILIES",
    "Background",
    "Comparison",
    "Fingerprint",
    "SourceError",
    "compare",
    "fingerprint",
    "load_background",
    "read_design",
]
