"""Energy and area of a chip and a run, from published tables with stated uncertainty."""

from hanok.estimate.activity import ActivityCounts, activity
from hanok.estimate.area import Area, estimate_area
from hanok.estimate.energy import Energy, estimate_energy
from hanok.numerics.ranges import Range

__all__ = ["ActivityCounts", "Area", "Energy", "Range", "activity", "estimate_area", "estimate_energy"]
