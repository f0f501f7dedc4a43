"""Chips and memories as public sources tell them, with what the rules must say of each.

Peak figures are dense; a multiply-accumulate counts as two operations. Sources are the makers' datasheets and
white papers, and for die areas the makers' or, where they say none, published measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chip:
    """A row: datasheet figures, and the expected TPP, density (both rounded) and rule ('a', 'b' or '')."""

    name: str
    inputs: tuple[str, ...]
    tops: str | None
    dies: tuple[tuple[str, str, str], ...]
    """(name, mm2, process nm)"""
    dram: tuple[str, str] | None
    data_centre: bool
    tpp: int | None
    density: str
    item: str
    lane: bool | None
    source: str
    sparsity: str = "1"

    @property
    def datasheet(self) -> dict[str, Any]:
        mode: dict[str, Any] = {"inputs": list(self.inputs), "sparsity_factor": self.sparsity}
        if self.tops is not None:
            mode["tops"] = self.tops
        sheet: dict[str, Any] = {
            "name": self.name,
            "kind": "logic",
            "source": self.source,
            "unit": [{"name": "matrix units", "mode": [mode]}],
            "die": [{"name": name, "mm2": mm2, "process_nm": nm} for name, mm2, nm in self.dies],
        }
        if self.dram:
            sheet["memory"] = {"family": self.dram[0], "bandwidth_gb_s": self.dram[1]}
        return sheet


_AD102 = (("AD102", "608.5", "5"),)
_AD104 = (("AD104", "294.5", "5"),)
_GH100 = (("GH100", "814", "5"),)
CHIPS = (
    Chip("A100 80 GB", ("int8",), "624", (("GA100", "826", "7"),), ("HBM2E", "2039"), True,
         4992, "6.04", "a", True, "NVIDIA A100 datasheet; GA100 white paper (826 mm2, 7 nm)"),
    Chip("A100 80 GB by fp16", ("fp16",), "312", (("GA100", "826", "7"),), ("HBM2E", "2039"), True,
         4992, "6.04", "a", True, "as above; both modes give the same product"),
    Chip("H100 SXM", ("fp8",), "1978.9", _GH100, ("HBM3", "3352"), True,
         15831, "19.45", "a", True, "NVIDIA H100 white paper (GH100, 814 mm2, 4N)"),
    Chip("H100 SXM with sparsity", ("fp8",), "3957.8", _GH100, ("HBM3", "3352"), True,
         15831, "19.45", "a", True, "the same figure as datasheets print it, with 2:4 zeros", sparsity="2"),
    Chip("H200 SXM", ("fp8",), "1978.9", _GH100, ("HBM3E", "4800"), True,
         15831, "19.45", "a", True, "NVIDIA H200 datasheet (4.8 TB/s)"),
    Chip("H20", ("int8",), "296", _GH100, ("HBM3", "4000"), True,
         2368, "2.91", "", False, "NVIDIA H20 as published by SemiAnalysis, November 2023"),
    Chip("L40S", ("fp8",), "733", _AD102, ("GDDR6", "864"), True,
         5864, "9.64", "a", True, "NVIDIA L40S datasheet (733 dense); Ada white paper (608.5 mm2)"),
    Chip("L40", ("fp8",), "362.1", _AD102, ("GDDR6", "864"), True,
         2897, "4.76", "b", True, "NVIDIA L40 datasheet (362.05 dense)"),
    Chip("L20", ("int8",), "239", _AD102, ("GDDR6", "864"), True,
         1912, "3.14", "", False, "NVIDIA L20 as published by SemiAnalysis, November 2023"),
    Chip("L2", ("int8",), "193", _AD104, ("GDDR6", "300"), True,
         1544, "5.24", "", False, "NVIDIA L2 as published by SemiAnalysis, November 2023; AD104, 294.5 mm2"),
    Chip("L4", ("fp8",), "242.5", _AD104, ("GDDR6", "300"), True,
         1940, "6.59", "a", True, "NVIDIA L4 datasheet (485 with sparsity); AD104, 294.5 mm2"),
    Chip("RTX 4090", ("fp8",), "660.6", _AD102, ("GDDR6X", "1008"), False,
         5285, "8.68", "a", True, "NVIDIA Ada white paper (660.6 dense fp8)"),
    Chip("RTX 4090 D", ("fp8",), "588.6", _AD102, ("GDDR6X", "1008"), False,
         4709, "7.74", "", False, "NVIDIA RTX 4090 D product page (1177 AI TOPS with sparsity)"),
    Chip("Ascend 910B", ("fp16",), "320", (("910B", "665.6", "7"),), ("HBM2E", "1600"), True,
         5120, "7.69", "a", True, "320 TFLOPS fp16 as published; die of 665.6 mm2 as measured"),
    Chip("MI325X", ("fp8",), "2614.9",
         (("8 XCD of 115 mm2", "920", "5"), ("4 IOD of 370 mm2", "1480", "6")), ("HBM3E", "6000"), True,
         20919, "8.72", "a", True, "AMD MI325X datasheet (2614.9 dense); die areas of MI300 as published"),
    Chip("RNGD", ("int8",), "512", (("RNGD", "653", "5"),), ("HBM3", "1500"), True,
         4096, "6.27", "a", True, "FuriosaAI RNGD, Hot Chips 2024 (512 TOPS int8, 653 mm2, 5 nm)"),
)  # fmt: skip


@dataclass(frozen=True)
class Boundary:
    """TPP by int8 TOPS and the area that gives a density exactly, for data centres unless said."""

    tpp: str
    density: str
    item: str
    data_centre: bool = True


BOUNDARIES = (
    Boundary("1600", "5.92", "a"),
    Boundary("1600", "5.9199", "b"),
    Boundary("1599.99", "5.92", ""),
    Boundary("1599.99", "100", ""),
    Boundary("2400", "1.6", "b"),
    Boundary("2400", "1.5999", ""),
    Boundary("2399.99", "1.6", ""),
    Boundary("1600", "3.2", "b"),
    Boundary("1600", "3.1999", ""),
    Boundary("1599.99", "3.2", ""),
    Boundary("2399.99", "3.2", "b"),
    Boundary("4800", "0.001", "a"),
    Boundary("4799.99", "5.92", "a"),
    Boundary("4799.99", "5.9199", "b"),
    Boundary("4799.99", "1.5999", ""),
    Boundary("4800", "0.001", "a", data_centre=False),
    Boundary("4799.99", "100", "", data_centre=False),
    Boundary("2400", "1.6", "", data_centre=False),
    Boundary("1600", "5.92", "", data_centre=False),
)


@dataclass(frozen=True)
class MemoryCase:
    """A stack or a package: bandwidth in GB/s, area in mm2."""

    name: str
    family: str
    bandwidth: str
    area: str
    density: str
    controlled: bool
    source: str
    co_packaged: bool = False
    exception: bool = field(default=False)
    """Below 3.3: the licence exception for HBM may be open."""


MEMORIES = (
    MemoryCase("HBM2 stack", "HBM2", "256", "92", "2.78", True,
               "JESD235B at 2 Gb/s a pin; package of 7.75 x 11.87 mm", exception=True),
    MemoryCase("HBM2E stack", "HBM2E", "460.8", "110", "4.19", True, "3.6 Gb/s a pin; package of 10 x 11 mm"),
    MemoryCase("HBM3 stack", "HBM3", "819.2", "110", "7.45", True, "JESD238 at 6.4 Gb/s a pin; 10 x 11 mm"),
    MemoryCase("HBM3E stack", "HBM3E", "1228.8", "121", "10.2", True, "9.6 Gb/s a pin; 11 x 11 mm"),
    MemoryCase("HBM3E beside logic", "HBM3E", "1228.8", "121", "10.2", False, "in one", co_packaged=True),
    MemoryCase("HBM on the line", "HBM", "220", "110", "2", False, "exactly 2: more than 2 is controlled"),
    MemoryCase("HBM above the line", "HBM", "220.0001", "110", "2", True, "just above", exception=True),
    MemoryCase("HBM on the exception's line", "HBM", "363", "110", "3.3", True, "less than 3.3 is excepted"),
    MemoryCase("GDDR6 package", "GDDR6", "64", "168", "0.38", False, "16 Gb/s x 32 pins; 12 x 14 mm"),
    MemoryCase("LPDDR5X package", "LPDDR5X", "68.264", "174.84", "0.39", False, "8.533 Gb/s x 64"),
)  # fmt: skip
