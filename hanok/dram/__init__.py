"""DRAM: standards as tables, address mapping, the controller's state, energy, and a checker of traces."""

from hanok.dram.checker import Violation, check_trace
from hanok.dram.energy import MemoryEnergy, energy_pj
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.standard import Command, Energy, FlatMemory, Organisation, Rule, Standard
from hanok.dram.standards import get_standard, standards
from hanok.dram.state import Counters, State, make_state, read_counters, state_of
from hanok.dram.trace import TraceCommand, command_trace

__all__ = [
    "Command",
    "Counters",
    "Energy",
    "FlatMemory",
    "Mapping",
    "MemoryEnergy",
    "Organisation",
    "Rule",
    "Standard",
    "State",
    "TraceCommand",
    "Violation",
    "check_trace",
    "command_trace",
    "energy_pj",
    "get_standard",
    "make_state",
    "parse_mapping",
    "read_counters",
    "standards",
    "state_of",
]
