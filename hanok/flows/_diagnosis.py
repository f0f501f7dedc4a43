"""What bounds a run, and one sentence that says so and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.flows._accounting import LATENCY
from hanok.flows.results import ChipSummary, HostOperator, LayerResult, UnitCycles
from hanok.units import cycles_to_ms

NOTABLE_FRACTION = 0.25
"""What bounds layers of so much of the time is named beside the first."""
_SUBJECTS = {
    "DRAM read": "Reading DRAM bounds this model",
    "DRAM write": "Writing DRAM bounds this model",
    "matrix": "The matrix array bounds this model",
    "vector": "The vector unit bounds this model",
    LATENCY: "Waiting bounds this model",
}


def bound_of(layers: Sequence[LayerResult]) -> str:
    """Return what bounds the layers that take most of the time; empty without NPU layers."""
    ranked = _ranked(layers)
    return ranked[0][0] if ranked and ranked[0][1] else ""


def _ranked(layers: Sequence[LayerResult]) -> list[tuple[str, int]]:
    """(what bounds, cycles of the layers that it bounds), the most first."""
    cycles: dict[str, int] = {}
    for layer in layers:
        cycles[layer.bound_by] = cycles.get(layer.bound_by, 0) + layer.cycles
    return sorted(cycles.items(), key=lambda pair: -pair[1])


def verdict(
    layers: Sequence[LayerResult],
    units: Sequence[UnitCycles],
    chip: ChipSummary,
    cycles: int,
    utilisation: float,
    moved_bytes: int,
    host_operators: Sequence[HostOperator] = (),
) -> str:
    """Return the sentence; figures in it are those of the run."""
    bound = bound_of(layers)
    latency_ms = cycles_to_ms(cycles, chip.clock_mhz)
    host_ms = sum({operator.stage: operator.milliseconds for operator in host_operators}.values())
    if not bound or not cycles:
        return "Everything ran on the host: the NPU had nothing to do."
    if host_ms > latency_ms:
        return _host_verdict(host_operators, host_ms, latency_ms)
    share, *others = (amount / cycles for _, amount in _ranked(layers))
    seconds = cycles / (chip.clock_mhz * 1e6)
    bandwidth = moved_bytes / seconds / max(1.0, chip.dram_bytes_per_second)
    busy = {unit.unit: unit.busy / cycles for unit in units}
    evidence = _evidence(bound, share, bandwidth, busy, utilisation)
    if others and others[0] >= NOTABLE_FRACTION:
        evidence += f" (next: {_ranked(layers)[1][0]}, {100 * others[0]:.0f} %)"
    return f"{_SUBJECTS[bound]}: {evidence}; {_advice(bound, bandwidth, layers, busy, utilisation)}."


def _host_verdict(operators: Sequence[HostOperator], host_ms: float, latency_ms: float) -> str:
    times: dict[str, float] = {}
    for operator in operators:
        times[operator.onnx_type] = times.get(operator.onnx_type, 0.0) + operator.milliseconds
    most = max(times, key=lambda name: times[name])
    return (
        f"The host bounds this model: {len(operators)} operators take {host_ms:.3g} ms of ONNX Runtime here, "
        f"the NPU {latency_ms:.3g} ms; most of it is {most}: rewrite it with operators that the NPU has."
    )


def _evidence(bound: str, share: float, bandwidth: float, busy: dict[str, float], utilisation: float) -> str:
    if bound == LATENCY:
        best = max(busy, key=lambda name: busy[name])
        most = f"{best}, the busiest, works {100 * busy[best]:.0f} %"
        return f"for {100 * share:.0f} % of the time no unit is kept at work ({most})"
    head = f"it limits layers that take {100 * share:.0f} % of the time"
    if bound.startswith("DRAM"):
        return f"{head}, and the DRAM gives {100 * bandwidth:.0f} % of its peak"
    if bound == "matrix":
        return f"{head}, and {100 * utilisation:.0f} % of its multipliers work over the whole run"
    return head


def _advice(
    bound: str, bandwidth: float, layers: Sequence[LayerResult], busy: dict[str, float], utilisation: float
) -> str:
    longest = f"'{_short(max(layers, key=lambda layer: layer.cycles).name)}', the longest layer"
    moved, needed = sum(layer.dram_bytes for layer in layers), sum(layer.compulsory_bytes for layer in layers)
    if bound.startswith("DRAM"):
        if moved > 1.3 * needed:
            times = f"{moved / max(1, needed):.1f} times the compulsory bytes"
            return f"more SRAM would help (it moves {times}), or more bandwidth"
        if bandwidth < 0.6:
            return "more bursts in flight would help; the bytes moved are near the least possible"
        return "more bandwidth would help; the bytes moved are near the least possible"
    if bound == "matrix":
        if utilisation < 0.6 * busy["matrix"]:
            return (
                f"its shape fits the layers badly, so that a larger one would help little; look at {longest}"
            )
        return "a larger array or a faster clock would help"
    if bound == "vector":
        return f"more lanes or stages would help; look at {longest}"
    return f"a batch, a larger input or a smaller chip would make better use of the chip; look at {longest}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "..."
