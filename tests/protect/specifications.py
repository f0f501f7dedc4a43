"""A specification of made-up process figures, and what people do when they copy one."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def specification(count: int, seed: int = 1, reach: int | None = None) -> str:
    """Return `count` values of different sizes and digits; a tenth of them is not signed off."""
    random = np.random.default_rng(seed)
    lines = ['[specification]\ntitle = "an example"\n']
    for number in range(count):
        decimals = int(random.integers(0, 4))
        value = 10 ** random.uniform(1, 3.5)
        steps = reach or int(random.choice([1, 2, 3, 5, 12]))
        lines += [
            "\n[[value]]",
            f'name = "figure_{number:03d}"',
            f"value = {max(value, 40 * 10.0**-decimals):.{decimals}f} # nominal",
            'unit = "nm"',
            f"tolerance = {steps * 10.0**-decimals:.{decimals}f}",
        ]
        if number % 10:
            lines += ['signed_by = "Kim, process integration"', "signed_on = 2026-11-02"]
    return "\n".join(lines) + "\n"


def written(folder: Path, text: str, name: str = "spec.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
