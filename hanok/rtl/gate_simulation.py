"""A netlist in many lanes at once: each lane is a design of its own, with its own inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.errors import HanokError
from hanok.rtl._gate_list import ONE
from hanok.rtl._kernels_gates import Lanes, clock, evaluate
from hanok.rtl.gate_netlist import GateNetlist

Octets = NDArray[np.uint8]
"""Bytes [lane, byte] of a value in each lane, the lowest first."""


class GateSimulation:
    """Lanes of a netlist, from the state with which its flip-flops and memories begin.

    Inputs keep their values until they are set anew; they begin with 0.
    """

    def __init__(self, netlist: GateNetlist, lanes: int) -> None:
        self.lanes = lanes
        self._netlist = netlist
        words = -(-lanes // 64)
        self._used: NDArray[np.uint64] = np.full(words, (1 << 64) - 1, np.uint64)
        if lanes % 64:
            self._used[-1] = np.uint64((1 << lanes % 64) - 1)
        self._values: Lanes = np.zeros((netlist.nets, words), np.uint64)
        self._values[[ONE, *netlist.ones]] = ~np.uint64(0)
        self._content: Lanes = np.zeros((len(netlist.content), words), np.uint64)
        self._content[netlist.content] = ~np.uint64(0)
        self._seen: dict[str, Lanes] = {}

    def set(self, **values: Any) -> None:
        """Set inputs from the next cycle on: to one integer, integers [lane], or bytes [lane, byte]."""
        for name, value in values.items():
            nets = self._port(name, is_input=True)
            self._values[nets] = _planes(_octets(value, self.lanes, len(nets)), len(nets))

    def step(self, cycles: int = 1, **values: Any) -> None:
        """Set inputs and go on; then `get` gives the outputs of the last of the cycles."""
        self.set(**values)
        netlist = self._netlist
        state = netlist.memories, self._content, self._values, self._used
        for _ in range(cycles):
            evaluate(netlist.gates, netlist.reads, *state)
            self._seen = {
                name: self._values[port.nets] for name, port in netlist.ports.items() if not port.is_input
            }
            clock(netlist.flip_flops, netlist.writes, *state)

    def get(self, name: str) -> NDArray[np.uint64]:
        """Return the lowest 64 bits of an output of the last cycle, by lane."""
        octets = self.get_octets(name)[:, :8]
        whole = np.zeros((self.lanes, 8), np.uint8)
        whole[:, : octets.shape[1]] = octets
        return whole.view("<u8")[:, 0]

    def get_octets(self, name: str) -> Octets:
        """Return an output of the last cycle, all its bytes."""
        self._port(name, is_input=False)
        bits = np.unpackbits(self._seen[name].astype("<u8").view(np.uint8), axis=1, bitorder="little")
        return np.packbits(bits[:, : self.lanes].T, axis=1, bitorder="little")

    def _port(self, name: str, is_input: bool) -> NDArray[np.int64]:
        port = self._netlist.ports.get(name)
        if port is None or port.is_input != is_input:
            raise HanokError(f"the design has no {'input' if is_input else 'output'} '{name}'")
        return port.nets


def _octets(value: Any, lanes: int, bits: int) -> Octets:
    """Return a value in each lane as bytes, at least as many as its bits need."""
    if isinstance(value, int):
        octets = (value & (1 << bits) - 1).to_bytes(-(-bits // 8), "little")
        return np.broadcast_to(np.frombuffer(octets, np.uint8), (lanes, len(octets)))
    values = np.asarray(value)
    if values.ndim == 1:
        values = values.astype("<u8").view(np.uint8).reshape(lanes, 8)
    whole = np.zeros((lanes, max(values.shape[1], -(-bits // 8))), np.uint8)
    whole[:, : values.shape[1]] = values
    return whole


def _planes(octets: Octets, bits: int) -> Lanes:
    """Turn values [lane, byte] into words [bit, word] with a bit for each lane."""
    words = -(-len(octets) // 64)
    spread = np.zeros((bits, 64 * words), np.uint8)
    spread[:, : len(octets)] = np.unpackbits(octets, axis=1, bitorder="little")[:, :bits].T
    return np.packbits(spread, axis=1, bitorder="little").view("<u8")
