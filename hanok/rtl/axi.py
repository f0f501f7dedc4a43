"""AXI4 channels of the DMA engines as their master sees them (ARM IHI 0022, part B).

The data bus is as wide as a line, a burst of the memory or as many as hold a beat: each transaction is one
aligned transfer, so that all its bytes come or go in one cycle, as in the cycle engine. A read is as wide as
the bus, or narrower by a power of two where it needs no more bursts; a write has strobes. A narrower
controller sits behind a width converter. Reads carry the number of their slot as ID and may be answered in
any order; writes have one ID, since two of them may go to the same bytes and then keep their order.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

OKAY = 0
MAX_DATA_BYTES = 128
"""The widest data bus of AXI4."""
INCREMENTING, BUFFERABLE, UNPRIVILEGED_SECURE_DATA = 1, 0b0011, 0


def _address_channel(prefix: str, address_bits: int, id_bits: int) -> dict[str, wiring.Member]:
    return {
        f"{prefix}valid": Out(1),
        f"{prefix}ready": In(1),
        f"{prefix}id": Out(id_bits),
        f"{prefix}addr": Out(address_bits),
        f"{prefix}len": Out(8),
        f"{prefix}size": Out(3),
        f"{prefix}burst": Out(2),
        f"{prefix}cache": Out(4),
        f"{prefix}prot": Out(3),
    }


def axi_read(address_bits: int, data_bytes: int, id_bits: int) -> wiring.Signature:
    """Return the read channels, AR and R."""
    return wiring.Signature(
        {
            **_address_channel("ar", address_bits, id_bits),
            "rvalid": In(1),
            "rready": Out(1),
            "rid": In(id_bits),
            "rdata": In(8 * data_bytes),
            "rresp": In(2),
            "rlast": In(1),
        }
    )


def axi_write(address_bits: int, data_bytes: int) -> wiring.Signature:
    """Return the write channels, AW, W and B."""
    return wiring.Signature(
        {
            **_address_channel("aw", address_bits, 1),
            "wvalid": Out(1),
            "wready": In(1),
            "wdata": Out(8 * data_bytes),
            "wstrb": Out(data_bytes),
            "wlast": Out(1),
            "bvalid": In(1),
            "bready": Out(1),
            "bid": In(1),
            "bresp": In(2),
        }
    )


def set_one_transfer(m: Module, bus: Any, prefix: str, data_bytes: int, narrower: Value | int = 0) -> None:
    """Drive what is not the address: one transfer of a bus of `data_bytes`, halved `narrower` times."""
    m.d.comb += [
        getattr(bus, f"{prefix}len").eq(0),
        getattr(bus, f"{prefix}size").eq(Const(data_bytes.bit_length() - 1, 3) - narrower),
        getattr(bus, f"{prefix}burst").eq(INCREMENTING),
        getattr(bus, f"{prefix}cache").eq(BUFFERABLE),
        getattr(bus, f"{prefix}prot").eq(UNPRIVILEGED_SECURE_DATA),
    ]
