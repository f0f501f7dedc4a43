"""What a run of requests through a memory controller gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hanok.dram.commands import Commands
from hanok.dram.standard import Standard
from hanok.machine import Policy


class Loss(IntEnum):
    """Why a pseudo-channel's data bus carried nothing."""

    NO_REQUEST = 0
    REFRESH = 1
    TURNAROUND = 2
    ACTIVATE = 3
    """A row had to be opened (and another one closed before it)."""
    BANK_GROUP = 4
    """Bursts of one bank group, or of two ranks, that must keep apart."""
    COMMAND_BUS = 5


@dataclass(frozen=True)
class Counters:
    """What the DRAM did, summed over pseudo-channels; requests that queues answered are not among reads."""

    reads: int
    writes: int
    row_hits: int
    """Requests whose row was open at their first command."""
    row_misses: int
    row_conflicts: int
    activates: int
    precharges: int
    refreshes: int
    bank_refreshes: int
    turnarounds: int
    forwarded_reads: int
    coalesced_writes: int
    lost_cycles: tuple[int, ...]
    """By Loss, summed over pseudo-channels, up to each one's last burst."""
    channels: int
    pseudo_channels: int
    """Of all channels."""


@dataclass(frozen=True)
class RequestRun:
    """Requests, when the controller took each one and when its data were through, and what was sent."""

    standard: Standard
    policy: Policy
    channels: int
    mapping: str
    writes: NDArray[np.bool_]
    addresses: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    """Cycles of the standard, as asked for."""
    admitted: NDArray[np.int64]
    """Cycle in which the request entered its queue."""
    completed: NDArray[np.int64]
    """Cycle in which its last data were on the bus (forwarded reads: when the queue answered)."""
    cycles: int
    """The last of all."""
    counters: Counters
    commands: Commands | None
    """When asked for."""

    @property
    def bytes_moved(self) -> int:
        """Of all requests."""
        return len(self.addresses) * self.standard.burst_bytes

    @property
    def seconds(self) -> float:
        """From cycle 0 to the last data."""
        return self.cycles * self.standard.tck_fs * 1e-15
