"""The simulator: values from the emulator, cycles from the engine; both read the program's bytes."""

from hanok.simulator.emulator import Machine, emulate
from hanok.simulator.emulator_order import execution_order

__all__ = ["Machine", "emulate", "execution_order"]
