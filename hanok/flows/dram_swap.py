"""A chip with another DRAM: what `--dram` changes, and what it leaves."""

from __future__ import annotations

from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.machine import Chip


def swap_dram(chip: Chip, name: str) -> Chip:
    """Return `chip` with the DRAM standard `name`, on as many channels, with the standard's own mapping.

    The capacity stays, unless the channels hold less. Raises ChipError for a name that is none.
    """
    try:
        standard = get_standard(name)
    except ChipError as error:
        raise ChipError(f"--dram: {str(error).removeprefix('memory.standard: ')}") from None
    memory: dict[str, str | int] = {"standard": name, "mapping": ""}
    sources = {**chip.sources, "memory.standard": "choice: --dram"}
    sources.pop("memory.mapping", None)
    if isinstance(standard, Standard):
        holds = standard.channel_bytes * chip.memory.channels >> 20
        if holds < chip.memory.capacity_mib:
            memory["capacity_mib"] = holds
            sources["memory.capacity_mib"] = f"choice: what {chip.memory.channels} channels of {name} hold"
    return chip.model_copy(update={"memory": chip.memory.model_copy(update=memory), "sources": sources})
