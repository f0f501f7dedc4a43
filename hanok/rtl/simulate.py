"""A compiled design in Python: clock it through whole arrays of inputs, or cycle by cycle."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib import wiring

from hanok.rtl.build import Library, Port, build

Words = npt.NDArray[np.uint64]


class Simulation:
    """An instance of a component, or of a library that was built, from its reset on.

    Inputs keep their values until they are set anew. A port of up to 64 bits is an array of integers, signed
    if its shape is; a wider one is an array [cycle, word] of 64-bit words, the lowest first.
    """

    def __init__(self, design: wiring.Component | Library, more: str = "", identity: str = "") -> None:
        library = design if isinstance(design, Library) else build(design, more, identity)
        self._code = ctypes.CDLL(str(library.path))
        self._code.create.restype = ctypes.c_void_p
        self._code.destroy.argtypes = [ctypes.c_void_p]
        whole, pointer = ctypes.c_int64, ctypes.c_void_p
        self._code.run.argtypes = [pointer, whole, pointer, whole, pointer, whole]
        self._code.run.restype = whole
        self._code.run_until.argtypes = [pointer, whole, pointer, pointer, whole]
        self._code.run_until.restype = whole
        self._inputs, in_words = _places(library.inputs, first=1)
        self._outputs, out_words = _places(library.outputs, first=0)
        self._held = np.zeros(in_words, np.uint64)
        self._seen = np.zeros(max(1, out_words), np.uint64)
        self._design = ctypes.c_void_p(self._code.create())
        self.cycle = 0
        self.reset()

    def renew(self) -> None:
        """Begin with a new instance: all memories are zero, and cycle 0 comes next."""
        self._code.destroy(self._design)
        self._design = ctypes.c_void_p(self._code.create())
        self.reset()

    def __del__(self) -> None:
        if hasattr(self, "_design"):
            self._code.destroy(self._design)

    def reset(self) -> None:
        """Hold the reset for a cycle; cycle 0 comes next."""
        self._held[0] = 1
        self._clock(1)
        self._held[0] = 0
        self.cycle = 0

    def set(self, **values: int) -> None:
        """Set inputs, from the next cycle on."""
        for name, value in values.items():
            port, at = self._inputs[name]
            mask = (1 << 64) - 1
            value &= (1 << port.bits) - 1
            self._held[at : at + port.words] = [value >> 64 * word & mask for word in range(port.words)]

    def get(self, name: str) -> int:
        """Return an output of the last cycle."""
        port, at = self._outputs[name]
        words = self._seen[at : at + port.words]
        value = sum(int(word) << 64 * index for index, word in enumerate(words))
        return value - (1 << port.bits) if port.is_signed and value >> port.bits - 1 else value

    def step(self, cycles: int = 1, **values: int) -> None:
        """Set inputs and go on; then `get` gives the outputs of the last of the cycles."""
        self.set(**values)
        self._clock(cycles)

    def run_until(self, name: str, most: int) -> bool:
        """Go on to the first cycle in which an output of at most 64 bits is not zero; False after `most`."""
        done = self._code.run_until(
            self._design, most, self._held.ctypes.data, self._seen.ctypes.data, self._outputs[name][1]
        )
        assert done >= 0, "the design has a loop of gates without a register"
        self.cycle += done
        return self.get(name) != 0

    def run(
        self, cycles: int, inputs: Mapping[str, Any], outputs: Sequence[str]
    ) -> dict[str, npt.NDArray[Any]]:
        """Clock the design through arrays [cycles] of inputs; return arrays of outputs of the same cycles."""
        given = np.repeat(self._held[None], cycles, axis=0)
        for name, values in inputs.items():
            _, at = self._inputs[name]
            words = np.asarray(values)
            if words.ndim == 1:
                words = words[:, None]
            words = (
                words.astype(np.int64).view(np.uint64) if words.dtype.kind == "i" else words.astype(np.uint64)
            )
            given[:, at : at + words.shape[1]] = words
        found = np.zeros((cycles, len(self._seen)), np.uint64)
        done = self._code.run(
            self._design, cycles, given.ctypes.data, given.shape[1], found.ctypes.data, found.shape[1]
        )
        assert done == cycles, "the design has a loop of gates without a register"
        if cycles:
            self._held[:], self._seen[:] = given[-1], found[-1]
        self.cycle += cycles
        return {name: _column(found, *self._outputs[name]) for name in outputs}

    def call(self, name: str, argument: Any) -> int:
        """Call a function of the C++ that was given with the component: of the design and one pointer."""
        function = getattr(self._code, name)
        function.restype = ctypes.c_int64
        return int(function(self._design, argument))

    def _clock(self, cycles: int) -> None:
        done = self._code.run(self._design, cycles, self._held.ctypes.data, 0, self._seen.ctypes.data, 0)
        assert done == cycles, "the design has a loop of gates without a register"
        self.cycle += cycles


def _places(ports: Sequence[Port], first: int) -> tuple[dict[str, tuple[Port, int]], int]:
    """Return where each port's words begin, and how many words there are."""
    found, at = {}, first
    for port in ports:
        found[port.name] = (port, at)
        at += port.words
    return found, at


def _column(words: Words, port: Port, at: int) -> npt.NDArray[Any]:
    if port.words > 1:
        return words[:, at : at + port.words].copy()
    column = words[:, at].copy()
    if not port.is_signed:
        return column
    shift = np.uint64(64 - port.bits)
    return (column << shift).view(np.int64) >> np.int64(64 - port.bits)
