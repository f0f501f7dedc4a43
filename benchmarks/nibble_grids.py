"""What weights lose in four bits: noise under the signal, in dB, of normal weights and of users' own.

`python benchmarks/nibble_grids.py`

Beside grids of sixteen weights stand int8 with a scale for each column, and four bits with a float scale of
the largest magnitude of each group, which needs no search. Users' weights are integers of four bits with a
float scale for every 32; what int8 makes of them is the least that can be lost.
"""

from __future__ import annotations

import numpy as np

from hanok.numerics.nibble_grids import fit_entries, nearest_nibbles
from hanok.numerics.nibbles import weights_of

ROWS, COLUMNS = 1024, 2048
GROUPS = (16, 32, 64, 128)


def main() -> None:
    random = np.random.default_rng(1)
    steps = in_steps(random.standard_normal((ROWS, COLUMNS)))
    print(f"normal weights, int8: {noise_db(steps, np.rint(steps)):.1f} dB")
    for group_rows in GROUPS:
        groups = steps.reshape(-1, group_rows, COLUMNS)
        scales = np.abs(groups).max(1, keepdims=True) / 7.5
        largest = np.clip(np.rint(groups / scales), -8, 7) * scales
        print(
            f"{group_rows:4d} rows a group: grids {noise_db(steps, on_grids(steps, group_rows)):.1f} dB, "
            f"largest magnitude {noise_db(groups, largest):.1f} dB"
        )
    codes = np.clip(np.rint(random.standard_normal((ROWS // 32, 32, COLUMNS)) * 2.5), -8, 7)
    scales = random.uniform(0.01, 0.03, (ROWS // 32, 1, COLUMNS))
    own = in_steps((codes * scales).reshape(ROWS, COLUMNS))
    narrow, wide = noise_db(own, on_grids(own, 32)), noise_db(own, np.rint(own))
    print(f"users' own: grids {narrow:.1f} dB, int8 {wide:.1f} dB")


def in_steps(weights: np.ndarray) -> np.ndarray:
    """Weights in steps of their columns, the largest of which is 127."""
    return weights / (np.abs(weights).max(0) / 127)


def on_grids(steps: np.ndarray, group_rows: int) -> np.ndarray:
    """The weights that nibbles stand for."""
    entries = fit_entries(steps, group_rows)
    return weights_of(nearest_nibbles(steps, entries), entries)


def noise_db(wanted: np.ndarray, found: np.ndarray) -> float:
    """Power of what is wanted over that of the error."""
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()))


if __name__ == "__main__":
    main()
