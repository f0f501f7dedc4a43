"""Energy of the families' commands, from published pJ/bit and supply currents, with what sources leave open.

Rules. A command costs (its current - the standby current beside it) x supply x its time. low and high span
the sources, and are never nearer to the nominal than PUBLISHED, or SCALED where a figure comes from an older
family by the square of the supply. A refresh of one bank costs what its share of an all-bank refresh costs.
"""

from __future__ import annotations

from hanok.dram.standard import Energy
from hanok.numerics.ranges import NOTHING, Range

PUBLISHED = (0.8, 1.25)
SCALED = (0.6, 1.6)
"""Choices: how far from the nominal a figure may lie, published for this family or scaled from another."""


def around(
    nominal: float, factors: tuple[float, float], low: float | None = None, high: float | None = None
) -> Range:
    """Return the range of a nominal figure, widened to the lowest and highest source."""
    least, most = nominal * factors[0], nominal * factors[1]
    return Range(min(least, low or least), nominal, max(most, high or most))


_HBM_SOURCE = (
    "O'Connor et al., Fine-Grained DRAM, MICRO 2017 (HBM2: 909 pJ a row of 1 KiB; 1.51 + 1.17 + 0.80 pJ/bit "
    "at 50 % toggling); DRAMsim3 HBM2_8Gb_x128.ini (IDD0 65, IDD2N 40, IDD3N 55, IDD4R 390, IDD4W 500, "
    "IDD5AB 250 mA, 1.2 V, a channel of 128 pins), whose rows and bursts are the low ends and whose refresh "
    "and standby are the nominals; high: 6.0 pJ/bit of a whole HBM2E device (Micron, Ultra-Bandwidth "
    "Solutions)"
)


def hbm_energy(supply_volts: float, refresh_ns: float, banks: int) -> Energy:
    """Return a pseudo-channel's figures: HBM2's at 1.2 V, otherwise HBM2's times the square of the supply."""
    scale = (supply_volts / 1.2) ** 2
    factors = PUBLISHED if scale == 1 else SCALED
    # Currents of DRAMsim3 over 128 pins and rows of 2 KiB; a pseudo-channel has half of both.
    row_low = 1.2 * (65 * 48 - 55 * 34 - 40 * 14) / 2
    read_low, write_low = (1.2 * (current - 55) * 2 / 2 for current in (390, 500))
    data = 256 * (1.51 + 1.17 + 0.80)
    refresh = around((250 - 55) * 1.2 * refresh_ns / 2 * scale, factors)
    return Energy(
        activate_precharge_pj=around(909.0 * scale, factors, low=row_low * scale),
        read_pj=around(data * scale, factors, low=read_low * scale, high=256 * 6.0 * scale),
        write_pj=around(data * scale, factors, low=write_low * scale, high=256 * 6.0 * scale),
        refresh_pj=refresh,
        bank_refresh_pj=refresh * (1 / banks),
        background_mw=around(55 * 1.2 * scale, factors, low=40 * 1.2 * scale),
        source=_HBM_SOURCE if scale == 1 else f"derived: times ({supply_volts} V / 1.2 V)^2; {_HBM_SOURCE}",
    )


def lpddr5_energy(refresh_ns: float, banks: int) -> Energy:
    """Return the figures of one x16 channel."""
    scale, clock_ns = (1.05 / 1.2) ** 2 * 1.2, 0.83
    refresh = around((280 - 47) * refresh_ns * scale, SCALED)
    return Energy(
        activate_precharge_pj=around((80 * 47 - 47 * 32 - 34 * 15) * clock_ns * scale, SCALED),
        read_pj=around((243 - 47) * 8 * clock_ns * scale, SCALED),
        write_pj=around((228 - 47) * 8 * clock_ns * scale, SCALED),
        refresh_pj=refresh,
        bank_refresh_pj=refresh * (1 / banks),
        background_mw=around(47 * scale, SCALED, low=25 * scale),
        source=(
            "derived: LPDDR4 currents (DRAMsim3 LPDDR4_8Gb_x16_2400.ini: IDD0 80, IDD2N 34, IDD2P 25, IDD3N "
            "47, IDD4R 243, IDD4W 228, IDD5AB 280 mA, 1.2 V, tRAS 32, tRP 15 clocks of 0.83 ns) times (1.05 "
            "V / 1.2 V)^2, standby down to IDD2P; no LPDDR5 currents are public without registration"
        ),
    )


def ddr5_energy(refresh_ns: float) -> Energy:
    """Return the figures of a 32-bit subchannel of four x8 devices."""
    devices, volts = 4, 1.1
    scale, burst_ns = devices * volts, 8 / 2.4
    return Energy(
        # IDD3N there has all banks open and exceeds IDD0, so the row's cost is over IDD2N.
        activate_precharge_pj=around((122 - 92) * (32 + 14.2) * scale, SCALED),
        read_pj=around((530 - 142) * burst_ns * scale, SCALED),
        write_pj=around((479 - 142) * burst_ns * scale, SCALED),
        refresh_pj=around((277 - 92) * refresh_ns * scale, SCALED, low=(277 - 142) * refresh_ns * scale),
        bank_refresh_pj=NOTHING,
        background_mw=around(142 * scale, PUBLISHED, low=92 * scale),
        source=(
            "gem5 src/mem/DRAMInterface.py DDR5_4400_4x8, which has them from Micron's 16 Gb DDR5 die A "
            "datasheet at 4800 Mb/s (IDD0 122, IDD2N 92, IDD3N 142, IDD4R 530, IDD4W 479, IDD5B 277 mA, 1.1 "
            "V); the width of the device is not stated, so the range is that of scaled figures"
        ),
    )


def gddr6_energy(refresh_ns: float, banks: int) -> Energy:
    """Return the figures of one x16 channel; DRAM device alone, termination included in the nominal."""
    volts, clock_ns, row_bits, pin_gigabits = 1.35, 0.66, 2048 * 8, 16 * 14.0
    row = (71 * 78 - 61 * 54 - 60 * 24) * clock_ns * volts
    background = 61 * volts
    refresh = around((286 - 61) * refresh_ns * volts, PUBLISHED)
    # The device's 7.5 pJ/bit at full rate, less standby and the row that a stream shares over all its bits.
    data = 256 * (7.5 - background / pin_gigabits - row / row_bits)
    return Energy(
        activate_precharge_pj=around(row, SCALED),
        read_pj=around(data, PUBLISHED, low=(248 - 61) * 2 * clock_ns * volts),
        write_pj=around(data, PUBLISHED, low=(231 - 61) * 2 * clock_ns * volts),
        refresh_pj=refresh,
        bank_refresh_pj=refresh * (1 / banks),
        background_mw=around(background, PUBLISHED),
        source=(
            "data: 7.5 pJ/bit of the device (Micron, Ultra-Bandwidth Solutions) less its standby and rows; "
            "the rest, and the low ends of data, which leave out I/O: DRAMsim3 GDDR6_8Gb_x16.ini (IDD0 71, "
            "IDD2N 60, IDD3N 61, IDD4R 248, IDD4W 231, IDD5AB 286 mA, 1.35 V, 0.66 ns). Its IDD5PB 45 mA is "
            "below standby, so it is not used"
        ),
    )
