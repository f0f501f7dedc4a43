"""What every carrier of marks offers: a number of marks, copies that hold them, and evidence of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Evidence = npt.NDArray[np.float64]


class Carrier(Protocol):
    """One original that can be marked: weights, a specification, RTL.

    A carrier is made from an original and the vendor's secret. It must choose marks by these alone: evidence
    that looked at recipients' words would break the bound on a false accusation.
    """

    @property
    def subject(self) -> str:
        """A name for the original that its content alone decides, such as a digest with a prefix."""

    @property
    def marks(self) -> int:
        """How many marks the original has room for; a FingerprintError where they are too few to trace."""

    def embed(self, bits: Bits) -> Mapping[str, bytes]:
        """Return a copy that holds `bits` [marks]: the content of its files by their path in the copy."""

    def read(self, suspect: Path) -> Evidence:
        """Return what a suspect says of each mark, [marks]: -1 a certain 0, 1 a certain 1, NaN lost."""
