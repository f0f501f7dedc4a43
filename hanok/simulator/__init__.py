"""The simulator: values from the emulator, cycles from the engine; both read the program's bytes."""

from hanok.simulator.counters import Cause, Timing
from hanok.simulator.emulator import Machine, emulate
from hanok.simulator.emulator_order import execution_order
from hanok.simulator.engine import simulate

__all__ = ["Cause", "Machine", "Timing", "emulate", "execution_order", "simulate"]
