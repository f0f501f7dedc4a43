"""Timing constraints of a core for synthesis, in SDC."""

from __future__ import annotations

from hanok.machine import Chip
from hanok.rtl.interface import CLOCK, INTERRUPT, RESET, Interface

IO_SHARE = 0.4
"""Part of the period that the surroundings take, on each side of a port."""
UNCERTAINTY_SHARE = 0.05
"""Part of the period for jitter and skew."""


def constraints(chip: Chip, interface: Interface) -> str:
    """Return the SDC of a core at its chip's clock: what to tighten once the surroundings are known."""
    period = 1000 / chip.clock_mhz
    inputs = [port.name for port in interface.ports if port.is_input and port.name not in (CLOCK, RESET)]
    outputs = [port.name for port in interface.ports if not port.is_input]
    lone = [name for name in (INTERRUPT,) if name in outputs]
    lines = [
        f"# Core of chip '{chip.name}': {chip.clock_mhz} MHz. Times in nanoseconds.",
        f"set period {period:.4f}",
        f"create_clock -name {CLOCK} -period $period [get_ports {CLOCK}]",
        f"set_clock_uncertainty [expr {UNCERTAINTY_SHARE} * $period] [get_clocks {CLOCK}]",
        "",
        "# AXI ports share the period with what is behind them; replace by the budget of the system.",
        f"set_input_delay -clock {CLOCK} [expr {IO_SHARE} * $period] [get_ports {{{' '.join(inputs)}}}]",
        f"set_output_delay -clock {CLOCK} [expr {IO_SHARE} * $period] [all_outputs]",
        "",
        f"# {RESET} is synchronous, and what it releases is released in one cycle: no path of it is false.",
        f"set_input_delay -clock {CLOCK} [expr {IO_SHARE} * $period] [get_ports {RESET}]",
    ]
    if lone:
        lines += [
            "",
            f"# {INTERRUPT} is a level for an asynchronous receiver.",
            f"set_false_path -to [get_ports {INTERRUPT}]",
        ]
    return "\n".join([*lines, ""])
