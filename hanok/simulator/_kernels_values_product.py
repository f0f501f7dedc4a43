"""The Numba kernel of an exact int8 product in plain loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import kernel
from hanok.numerics._kernels_scalar import wrap_int32


@kernel
def multiply_loops(
    activations: npt.NDArray[np.uint8], weights: npt.NDArray[np.int8], total: npt.NDArray[np.int32]
) -> None:
    """total[m, n] += sum over k of (activations[m, k] - 128) * weights[k, n], wrapped."""
    rows, depth = activations.shape
    for m in range(rows):
        target = total[m]
        for k in range(depth):
            left = np.int32(activations[m, k]) - np.int32(128)
            row = weights[k]
            for n in range(len(target)):
                target[n] = wrap_int32(target[n] + left * np.int32(row[n]))
