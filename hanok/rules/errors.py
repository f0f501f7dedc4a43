"""The error of rule packs, declarations and evidence that cannot be used."""

from __future__ import annotations

from hanok.errors import HanokError


class RulesError(HanokError):
    """A pack, a datasheet, a declaration or a piece of evidence that is not what it must be."""
