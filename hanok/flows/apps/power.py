"""A job repeated without end under a power cap: how often it can run, and what each run then takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from hanok.flows.arrays import InputError
from hanok.flows.cost import Cost

_STANDING = ("leakage", "DRAM standby")
"""Parts of the energy that time costs, whether the chip works or waits."""


@dataclass(frozen=True)
class SustainedLoad:
    """A job again and again on a chip that pauses between runs so that its mean power keeps to a cap.

    In a run the chip works at its full clock; in a pause it leaks and its DRAM stands by. So with the
    standing power P0 and the energy E that a run's work costs beyond it, the mean power of r runs a second
    is r E + P0, which gives the highest rate under a cap P: (P - P0) / E.
    """

    cap_watts: float | None
    """None: nothing but its own speed limits the chip."""
    seconds: float
    """Of a run."""
    work_joules: float
    """Of a run, beyond what standing costs."""
    standing_watts: float

    @property
    def full_watts(self) -> float:
        """Mean power of runs without a pause."""
        return self.standing_watts + self.work_joules / self.seconds if self.seconds else 0.0

    @property
    def runs_per_second(self) -> float:
        """As many as the chip's speed and the cap allow; 0 where the cap is below the standing power."""
        if not self.seconds:
            return 0.0
        fastest = 1 / self.seconds
        if self.cap_watts is None or not self.work_joules:
            return fastest
        return min(fastest, max(0.0, self.cap_watts - self.standing_watts) / self.work_joules)

    @property
    def share(self) -> float:
        """Of the time that the chip works."""
        return self.runs_per_second * self.seconds

    @property
    def watts(self) -> float:
        """Mean power of the load."""
        return self.standing_watts + self.runs_per_second * self.work_joules

    @property
    def joules_per_run(self) -> float:
        """With the pauses behind each run; 0 where nothing can run."""
        return self.watts / self.runs_per_second if self.runs_per_second else 0.0


def check_cap(cap_watts: float | None) -> None:
    """Refuse a power cap that is none."""
    if cap_watts is not None and not (isfinite(cap_watts) and cap_watts > 0):
        raise InputError(f"power cap: {cap_watts} W; allowed: more than 0")


def sustained_load(cost: Cost, cap_watts: float | None = None) -> SustainedLoad:
    """The load of a job under a cap on the mean power of NPU and DRAM, in watts."""
    check_cap(cap_watts)
    seconds = cost.milliseconds / 1e3
    standing = sum(
        program.runs * part.amount / 1e3
        for program in cost.programs
        for part in program.result.record.energy
        if part.name in _STANDING
    )
    return SustainedLoad(
        cap_watts=cap_watts,
        seconds=seconds,
        work_joules=cost.energy_mj / 1e3 - standing,
        standing_watts=standing / seconds if seconds else 0.0,
    )
