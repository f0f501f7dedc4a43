"""A core with memory, loader and UART: all of the FPGA but its clock and pins."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Chip
from hanok.rtl.core import Core
from hanok.rtl.fpga_loader import TIMEOUT_CYCLES_LOG2, Loader
from hanok.rtl.fpga_memory import SharedMemory
from hanok.rtl.fpga_uart import UartReceiver, UartTransmitter

LEDS = ("runs", "interrupt", "loads")


class FpgaSystem(wiring.Component):
    """`receive` and `transmit` are the UART's lines; `runs` goes up and down as long as there is a clock."""

    def __init__(
        self, chip: Chip, memory_bytes: int, cycles_per_bit: int, timeout_log2: int = TIMEOUT_CYCLES_LOG2
    ) -> None:
        self.core = Core(chip)
        self._memory_bytes, self._cycles_per_bit = memory_bytes, cycles_per_bit
        self._timeout_log2 = timeout_log2
        self.identity = f"{self.core.identity} {memory_bytes} {cycles_per_bit} {timeout_log2}"
        super().__init__(
            {"receive": In(1, init=1), "transmit": Out(1, init=1), **{name: Out(1) for name in LEDS}}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core = self.core
        m.submodules.core = core
        m.submodules.memory = memory = SharedMemory(
            self._memory_bytes, core.burst_bytes, core.line_bytes, core.address_bits, 1, core.load_id_bits
        )
        m.submodules.loader = loader = Loader(self._memory_bytes, self._timeout_log2)
        m.submodules.receiver = receiver = UartReceiver(self._cycles_per_bit)
        m.submodules.transmitter = transmitter = UartTransmitter(self._cycles_per_bit)
        for name in ("fetch", "load", "store"):
            wiring.connect(m, getattr(core, name), getattr(memory, name))
        wiring.connect(m, loader.memory, memory.bytes)
        wiring.connect(m, loader.bus, core.bus)
        wiring.connect(m, receiver.bytes, loader.received)
        wiring.connect(m, loader.transmitted, transmitter.bytes)
        beat = Signal(26)
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            receiver.line.eq(self.receive),
            self.transmit.eq(transmitter.line),
            self.runs.eq(beat[-1]),
            self.interrupt.eq(core.interrupt),
            self.loads.eq(loader.busy),
        ]
        return m
