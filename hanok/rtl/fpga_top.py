"""The whole of an ECP5: PLL, reset, and the system between the board's pins."""

from __future__ import annotations

from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer

from hanok.rtl.fpga_board import Board, pll_divisors
from hanok.rtl.fpga_system import LEDS


class FpgaTop(Elaboratable):
    """Ports of the names that the board's pins have; the core's clock is the net `clk`.

    `system` has the lines and lights of `FpgaSystem`.
    """

    def __init__(self, system: Any, board: Board, clock_mhz: float) -> None:
        self.system, self.board = system, board
        self._clock_mhz = clock_mhz
        self._divisors = pll_divisors(board.clock_mhz, clock_mhz)
        self.clock, self.receive, self.transmit = (
            Signal(name=name) for name in ("clock", "receive", "transmit")
        )
        self.leds = Signal(board.leds, name="leds")

    @property
    def ports(self) -> list[Signal]:
        """What goes to pins."""
        return [self.clock, self.receive, self.transmit, self.leds]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        locked = Signal()
        m.domains.sync = ClockDomain("sync")
        m.submodules.pll = self._pll(locked)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        m.submodules.system = system = self.system
        lit = sum(getattr(system, name) << number for number, name in enumerate(LEDS))
        m.d.comb += [
            system.receive.eq(self.receive),
            self.transmit.eq(system.transmit),
            self.leds.eq(lit if self.board.leds_lit_by else ~lit),
        ]
        return m

    def _pll(self, locked: Signal) -> Instance:
        divisors, fed_back = self._divisors, Signal()
        return Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.board.clock_mhz:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self._clock_mhz:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            p_CLKI_DIV=divisors.reference,
            p_CLKFB_DIV=1,
            p_CLKOP_DIV=divisors.output,
            p_CLKOP_CPHASE=divisors.output - 1,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOS_DIV=divisors.back,
            p_CLKOS_CPHASE=divisors.back - 1,
            p_CLKOS_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOS",
            i_CLKI=self.clock,
            i_CLKFB=fed_back,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=0,
            i_PHASESTEP=0,
            i_PHASELOADREG=0,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=ClockSignal("sync"),
            o_CLKOS=fed_back,
            o_LOCK=locked,
        )


def design_text(top: FpgaTop) -> str:
    """Return the design as RTLIL, whose top module is `top`."""
    return str(rtlil.convert(top, name="top", ports=top.ports, emit_src=False))
