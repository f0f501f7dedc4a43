"""The int8 models that benchmarks run: topologies with seeded weights, quantised on seeded random data.

`python benchmarks/models.py NAME FILE` writes one of them, so that a script which measures memory can have it
built by a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from onnx import ModelProto

from hanok.graph.quantise import quantise_model
from hanok.graph.topologies import TOPOLOGIES, mobilenet_v1


def _vww() -> ModelProto:
    """MLPerf Tiny's visual wake words: MobileNet V1, a quarter of the channels, 96x96 pixels, 2 classes."""
    return mobilenet_v1(alpha=0.25, image=96, classes=2)


BUILDERS: dict[str, Callable[[], ModelProto]] = {**TOPOLOGIES, "vww": _vww}
"""Builders of float models by name."""


@cache
def int8_model(name: str) -> bytes:
    """The QDQ model called `name`; the same bytes in every run."""
    content: bytes = quantise_model(BUILDERS[name](), seed=0).model.SerializeToString(deterministic=True)
    return content


def main() -> None:
    """Write one model."""
    name, target = sys.argv[1:]
    Path(target).write_bytes(int8_model(name))


if __name__ == "__main__":
    main()
