"""The fingerprinting code: a bias for every mark and a word for every recipient, both out of one secret."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hanok.errors import HanokError
from hanok.protect._keyed import keyed_words

CUT_OFF = 0.004
"""Biases lie in CUT_OFF..1 - CUT_OFF: about 1 / (300 c) of Tardos at c = 1, (c^-4/3) / 12 at c = 10."""
MAX_NAME = 200
_UNIT = 1 << 32


class FingerprintError(HanokError):
    """A recipient, a secret or a copy that fingerprinting cannot work with."""


@dataclass(frozen=True)
class Code:
    """A Tardos code of `marks` marks (G. Tardos, J. ACM 55(2), 2008), of one secret and one subject.

    The bias of a mark is arcsine-distributed, the bit of a recipient is 1 with the bias as its probability.
    Nothing is stored: whoever has the secret derives both again, whoever has not can foretell neither.
    `subject` tells one marked work from another (a digest of its original), so that no two share biases.
    """

    secret: bytes = field(repr=False)
    subject: str
    marks: int

    @cached_property
    def _thresholds(self) -> npt.NDArray[np.uint32]:
        """Biases in units of 2^-32, whole numbers: a bound is computed with exactly what was drawn."""
        drawn = keyed_words(self.secret, ("bias", self.subject), self.marks)
        edge = math.asin(math.sqrt(CUT_OFF))
        angles = edge + (math.pi / 2 - 2 * edge) * (drawn + 0.5) / _UNIT
        thresholds: npt.NDArray[np.uint32] = np.rint(np.sin(angles) ** 2 * _UNIT).astype(np.uint32)
        return thresholds

    @property
    def biases(self) -> npt.NDArray[np.float64]:
        """Chance of a 1 in each mark, float64 [marks]."""
        return self._thresholds / _UNIT

    def word(self, recipient: str) -> npt.NDArray[np.uint8]:
        """Return the recipient's bits, uint8 [marks]."""
        labels = ("word", self.subject, checked_name(recipient))
        drawn = keyed_words(self.secret, labels, self.marks)
        return (drawn < self._thresholds).astype(np.uint8)

    def words(self, recipients: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return the words of several recipients, uint8 [recipients, marks]."""
        found = np.zeros((len(recipients), self.marks), np.uint8)
        for row, recipient in enumerate(recipients):
            found[row] = self.word(recipient)
        return found


def checked_name(recipient: str) -> str:
    """Return a recipient's name in the one form (Unicode NFC) under which its word is derived."""
    name = unicodedata.normalize("NFC", recipient).strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise FingerprintError(
            f"recipient {recipient[:40]!r}; allowed: 1 to {MAX_NAME} printable characters on one line"
        )
    return name
