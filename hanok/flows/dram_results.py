"""The result records of a request trace on a DRAM: what its reports render."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.flows.results import Contribution


@dataclass(frozen=True)
class StandardSummary:
    """One speed grade and density, as listings and reports show it."""

    name: str
    family: str
    speed_mbps: int
    density_gbit: int
    densities_gbit: tuple[int, ...]
    """That the family comes in."""
    clock_mhz: float
    cycle_ps: float
    """The timing table's cycle: a clock, or half of one."""
    burst_bytes: int
    pseudo_channels: int
    """Of a channel, as all that follows down to its bandwidth."""
    ranks: int
    """Or stack identities, of a pseudo-channel."""
    groups: int
    banks_per_group: int
    rows: int
    row_bytes: int
    channel_bytes: int
    channel_bytes_per_second: float
    package: str
    """What the channels come in: a stack (HBM) or a die."""
    package_channels: int
    derived: str
    """How figures without a public document were made; empty when there are none."""
    sources: tuple[tuple[str, str], ...]

    @property
    def organisation(self) -> str:
        """In words, without what there is one of."""
        parts = (
            (self.pseudo_channels, "pseudo-channels"),
            (self.ranks, "ranks"),
            (self.groups, "groups"),
            (self.banks_per_group, "banks"),
            (self.rows, "rows"),
            (self.row_bytes, "bytes"),
        )
        return " x ".join(f"{count} {name}" for count, name in parts if count > 1)

    @property
    def package_bytes_per_second(self) -> float:
        """Peak of the stack or die."""
        return self.channel_bytes_per_second * self.package_channels


@dataclass(frozen=True)
class Latency:
    """Nanoseconds from a request's arrival (untimed traces: from its entry into a queue) to its data."""

    requests: str
    """all, reads or writes."""
    count: int
    mean_ns: float
    p50_ns: float
    p90_ns: float
    p99_ns: float
    p999_ns: float
    max_ns: float


@dataclass(frozen=True)
class Histogram:
    """Requests by latency: from edges_ns[i] up to edges_ns[i + 1]; the first bin has faster ones, too."""

    edges_ns: tuple[float, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Traffic:
    """Bytes whose data were through in each of equal slices of the run."""

    slice_ns: float
    read_bytes: tuple[int, ...]
    write_bytes: tuple[int, ...]


@dataclass(frozen=True)
class PseudoChannelLoad:
    """Requests that went to one pseudo-channel."""

    channel: int
    pseudo: int
    reads: int
    writes: int

    @property
    def requests(self) -> int:
        """Both kinds."""
        return self.reads + self.writes


@dataclass(frozen=True)
class MappingTrial:
    """A mapping that the search tried, and how long the trace, or a part of it, took under it."""

    mapping: str
    cycles: int
    requests: int
    """Of the trace, in the part that was tried."""


@dataclass(frozen=True)
class TraceCheck:
    """What the independent checker found in the command trace."""

    commands: int
    violations: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class EccSummary:
    """What guards a memory's bursts, and what it costs."""

    option: str
    codes: tuple[str, ...]
    in_line: bool
    """Check bits take bursts of their own, for want of pins."""
    partial_writes: bool
    check_reads: int
    """Bursts of check bits, those that queues answered too."""
    check_writes: int
    merge_reads: int
    """By the host, of bursts of which a write changes a part."""
    usable_bytes: int
    capacity_share: float
    pin_ratio: float
    """Pins with ECC by pins without: energy of reads and writes."""
    cell_ratio: float
    """Cells by data bits: energy of activates and refreshes."""
    read_latency_ns: float
    cost: str
    """In one line."""


@dataclass(frozen=True)
class DramSeconds:
    """Wall-clock seconds that hanok itself took, by phase."""

    read: float = 0.0
    search: float = 0.0
    simulate: float = 0.0
    check: float = 0.0


@dataclass(frozen=True)
class DramRecord:
    """A request trace on a DRAM: every figure that a report shows."""

    hanok_version: str
    trace: str
    trace_form: str
    timed: bool
    standard: StandardSummary
    channels: int
    mapping: str
    mapping_letters: str
    """Whose each address bit above the burst is, highest first (see hanok.dram.mapping.LETTERS)."""
    mapping_hashes: tuple[str, ...]
    policy: tuple[tuple[str, str], ...]
    requests: int
    reads: int
    writes: int
    bad_lines: int
    bytes_moved: int
    cycles: int
    duration_ns: float
    bytes_per_second: float
    peak_bytes_per_second: float
    latencies: tuple[Latency, ...]
    histogram: Histogram
    row_hits: int
    row_misses: int
    row_conflicts: int
    forwarded_reads: int
    coalesced_writes: int
    turnarounds: int
    commands: tuple[tuple[str, int], ...]
    """(kind, how many)."""
    bus: tuple[tuple[str, int], ...]
    """(what the data bus did or waited for, cycles), over all pseudo-channels; the sum is `bus_cycles`."""
    bus_cycles: int
    energy: tuple[Contribution, ...]
    """In millijoules."""
    energy_source: str
    loads: tuple[PseudoChannelLoad, ...]
    traffic: Traffic
    trials: tuple[MappingTrial, ...]
    """Of `--mapping search`, best first."""
    check: TraceCheck | None
    bound_by: str
    verdict: str
    """What bounds this trace, and what would help."""
    advice: str
    """A better mapping, where one was found; else empty."""
    warnings: tuple[str, ...]
    seconds: DramSeconds
    window: int = 0
    """Requests that the host sends ahead of those that queues have taken; 0: no limit."""
    ecc: EccSummary | None = None

    @property
    def host(self) -> str:
        """How far the host runs ahead, in words."""
        if not self.window:
            return "sends as fast as requests come, without a limit"
        if self.window == 1:
            return "waits until each request is taken"
        return f"sends at most {self.window} requests ahead of what is taken"

    @property
    def share_of_peak(self) -> float:
        """Bandwidth over what the data buses could carry."""
        return self.bytes_per_second / self.peak_bytes_per_second

    @property
    def row_hit_rate(self) -> float:
        """Of the requests that reached the DRAM."""
        return self.row_hits / max(1, self.row_hits + self.row_misses + self.row_conflicts)

    @property
    def energy_mj(self) -> float:
        """All causes."""
        return sum(part.amount for part in self.energy)

    @property
    def energy_low_mj(self) -> float:
        """What the sources leave open, downwards."""
        return sum(part.low for part in self.energy)

    @property
    def energy_high_mj(self) -> float:
        """What the sources leave open, upwards."""
        return sum(part.high for part in self.energy)

    @property
    def pj_per_bit(self) -> float:
        """Energy of a bit of the requests, background included."""
        return self.energy_mj * 1e9 / max(1, 8 * self.bytes_moved)
