"""A family of standards: its speed grades and densities, and how one of them is put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hanok.dram.standard import Command, Energy, Form, Organisation, RuleRow, Standard, build_rules


@dataclass(frozen=True)
class Family:
    """What a user can choose from; `make(speed_mbps, density_gbit)` gives the standard."""

    name: str
    speeds: tuple[int, ...]
    densities: tuple[int, ...]
    default_density: int
    make: Callable[[int, int], Standard]

    def standard_name(self, speed_mbps: int, density_gbit: int) -> str:
        """Return the name of a grade; that of the default density leaves the density out."""
        name = f"{self.name}_{speed_mbps}"
        return name if density_gbit == self.default_density else f"{name}@{density_gbit}Gb"

    def standard(self, speed_mbps: int, density_gbit: int) -> Standard:
        """Return the table of a grade that the family has."""
        return replace(self.make(speed_mbps, density_gbit), name=self.standard_name(speed_mbps, density_gbit))


@dataclass(frozen=True)
class Frame:
    """What all grades of a family share."""

    family: str
    burst_bytes: int
    clock_cycles: int
    forms: Mapping[Command, Form]
    activate_gap_cycles: tuple[int, int]
    rows: tuple[RuleRow, ...]
    mapping: str
    stack_channels: int

    def table(
        self,
        speed_mbps: int,
        density_gbit: int,
        tck_fs: int,
        organisation: Organisation,
        timings: Mapping[str, int],
        energy: Energy,
        sources: Mapping[str, str],
        derived: str = "",
    ) -> Standard:
        """Put one grade together. `timings` are cycles; nREFIpb is missing where REFB is."""
        return Standard(
            name=f"{self.family}_{speed_mbps}@{density_gbit}Gb",
            family=self.family,
            speed_mbps=speed_mbps,
            density_gbit=density_gbit,
            tck_fs=tck_fs,
            clock_cycles=self.clock_cycles,
            burst_bytes=self.burst_bytes,
            burst_cycles=timings["nBL"],
            read_latency_cycles=timings["nCL"],
            write_latency_cycles=timings["nCWL"],
            refresh_interval_cycles=timings["nREFI"],
            bank_refresh_interval_cycles=timings.get("nREFIpb", 0),
            organisation=organisation,
            forms=self.forms,
            activate_gap_cycles=self.activate_gap_cycles,
            rules=build_rules(self.rows, timings),
            mapping=self.mapping,
            energy=energy,
            sources=sources,
            derived=derived,
            stack_channels=self.stack_channels,
            timings=timings,
            rows=self.rows,
        )


STREAM_MAPPING = "row rank bank^row group column channel pseudo group:1"
"""Two bursts in a row go to two bank groups of one pseudo-channel, which hides tCCD_L; then on to the next
pseudo-channel and channel. The XOR keeps streams whose buffers are aligned alike out of each other's bank."""
