"""A chip with another DRAM or other ECC: what `--dram` and `--ecc` change, and what they leave."""

from __future__ import annotations

from hanok.dram.chip_memory import memory_standard
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.machine import Chip


def swap_dram(chip: Chip, name: str) -> Chip:
    """Return `chip` with the DRAM standard `name`, on as many channels, with the standard's own mapping.

    The capacity stays, unless the channels hold less, and so does ECC where the standard has it without
    bursts of its own. Raises ChipError for a name that is none.
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
    swapped = chip.model_copy(update={"memory": chip.memory.model_copy(update=memory), "sources": sources})
    try:
        memory_standard(swapped.memory)
    except ChipError:
        return _with_ecc(swapped, "none", f"choice: none, as {name} does not have '{chip.memory.ecc}'")
    return swapped


def swap_ecc(chip: Chip, option: str) -> Chip:
    """Return `chip` with the codes of `option` on its DRAM; raise ChipError where that does not have them."""
    swapped = _with_ecc(chip, option, "choice: --ecc")
    try:
        memory_standard(swapped.memory)
    except ChipError as error:
        raise ChipError(f"--ecc: {str(error).removeprefix('memory.ecc: ')}") from None
    return swapped


def _with_ecc(chip: Chip, option: str, source: str) -> Chip:
    return chip.model_copy(
        update={
            "memory": chip.memory.model_copy(update={"ecc": option}),
            "sources": {**chip.sources, "memory.ecc": source},
        }
    )
