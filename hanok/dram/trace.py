"""Command traces: what the controller sent to the DRAM, one record a command."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.dram import _layout as k
from hanok.dram.standard import Command, Standard
from hanok.dram.state import State
from hanok.errors import HanokError


@dataclass(frozen=True, slots=True)
class TraceCommand:
    """A command at a clock edge; -1 stands for a part of the address that the command does not have."""

    cycle: int
    command: Command
    channel: int
    pseudo: int
    rank: int = -1
    group: int = -1
    bank: int = -1
    row: int = -1
    column: int = -1

    def __str__(self) -> str:
        place = f"channel {self.channel}.{self.pseudo}"
        if self.bank >= 0:
            place += f" rank {self.rank} group {self.group} bank {self.bank} row {self.row}"
        return f"{self.command.name} at cycle {self.cycle} ({place})"


def command_trace(state: State, standard: Standard) -> list[TraceCommand]:
    """Return the commands that `state` kept, in the order of their cycles.

    Raises HanokError when the trace was full, because its end would be missing.
    """
    count, room = int(state[k.H_TRACE_COUNT]), int(state[k.H_TRACE_SIZE])
    if count >= room:
        raise HanokError(f"command trace: all {room} places are taken; ask for more with trace_commands")
    first = int(state[k.H_TRACE])
    records = state[first : first + count * k.T_SIZE].reshape(-1, k.T_SIZE)
    shape = standard.organisation
    found = []
    for cycle, unit, command, place, row, column in records[
        records[:, k.T_CYCLE].argsort(kind="stable")
    ].tolist():
        channel, pseudo = divmod(unit, shape.pseudo_channels)
        if place < 0:
            found.append(TraceCommand(cycle, Command(command), channel, pseudo))
            continue
        group, bank = divmod(place, shape.banks_per_group)
        rank, group = divmod(group, shape.groups)
        found.append(TraceCommand(cycle, Command(command), channel, pseudo, rank, group, bank, row, column))
    return found
