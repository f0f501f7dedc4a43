"""DRAM: standards as tables, address mapping, the controller, energy, and a checker of command traces."""

from hanok.dram.checker import Checker, CheckReport, Violation, check_commands
from hanok.dram.commands import COMMAND_DTYPE, Commands
from hanok.dram.energy import MemoryEnergy, energy_pj
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.results import Counters, Loss, RequestRun
from hanok.dram.simulate import commands_of, run_requests
from hanok.dram.standard import Command, Energy, FlatMemory, Organisation, Rule, Standard
from hanok.dram.standards import (
    check_standard,
    densities,
    families,
    get_standard,
    load_standard,
    standard_by_speed,
    standards,
)
from hanok.dram.state import make_state, read_counters, state_of

__all__ = [
    "COMMAND_DTYPE",
    "CheckReport",
    "Checker",
    "Command",
    "Commands",
    "Counters",
    "Energy",
    "FlatMemory",
    "Loss",
    "Mapping",
    "MemoryEnergy",
    "Organisation",
    "RequestRun",
    "Rule",
    "Standard",
    "Violation",
    "check_commands",
    "check_standard",
    "commands_of",
    "densities",
    "energy_pj",
    "families",
    "get_standard",
    "load_standard",
    "make_state",
    "parse_mapping",
    "read_counters",
    "run_requests",
    "standard_by_speed",
    "standards",
    "state_of",
]
