"""A run on the terminal: totals, the layers that take the time, where cycles went, what bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanok.flows.results import HostOperator, LayerResult, RunRecord
from hanok.report import text as _format
from hanok.report._tables import plain_text, titled_table
from hanok.units import readable_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TOP_LAYERS = 12
CHECK_ROW = "ONNX Runtime"
_MAX_NAME = 60
_MAX_REASON = 200


def print_record(record: RunRecord, console: Console, top_layers: int = TOP_LAYERS) -> None:
    """Print the record; the last line says what bounds the model."""
    console.print()
    console.print(_totals(record))
    console.print()
    if record.layers and top_layers:
        console.print(_layers(record, top_layers, console.width))
    if record.instructions:
        console.print(_units(record))
    if record.host_operators:
        console.print(_host(record))
    for warning in record.warnings:
        console.print(plain_text(f"note: {warning}", "yellow"))
    console.print(plain_text(record.verdict, "bold"))


def _short(name: str) -> str:
    cleaned = _format.clean(name)
    return cleaned if len(cleaned) <= _MAX_NAME else "…" + cleaned[1 - _MAX_NAME :]


def _totals(record: RunRecord) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    chip = record.chip
    rows = [
        ("model", _format.clean(record.model)),
        (
            "chip",
            f"{chip.name}, {_format.significant(chip.peak_tops)} TOPS int8, {chip.dram_standard}",
        ),
        (
            "latency",
            f"{_format.milliseconds(record.latency_ms)}  ({record.cycles:,} cycles, {chip.clock_mhz:,} MHz)",
        ),
        ("utilisation", f"{_format.percent(record.utilisation)}  ({_format.scaled(record.macs, 'MAC')})"),
        ("energy", _energy(record)),
        ("DRAM", _traffic(record)),
        (CHECK_ROW, _check(record)),
    ]
    rows += _bit_errors(record)
    if record.host_operators:
        rows.append(
            (
                "host",
                f"{len(record.host_operators)} operators, {_format.milliseconds(record.host_ms)} measured",
            )
        )
    rows.append(("hanok took", _seconds(record)))
    for key, value in rows:
        table.add_row(key, plain_text(value, _check_style(record) if key == CHECK_ROW else ""))
    return table


CLOSE_DB = 25.0
"""A deep network whose eight-bit roundings fall otherwise here and there stays as near as this."""


def _check_style(record: RunRecord) -> str:
    """Green where every value is the same, yellow within one step, or 25 dB of floats, red beyond."""
    if not record.checked:
        return ""
    if not record.outputs_mismatched:
        return "green"
    near = record.signal_to_noise_db is None or record.signal_to_noise_db >= CLOSE_DB
    return "yellow" if (record.max_error_steps or 0) <= 1 and near else "red"


def _energy(record: RunRecord) -> str:
    low, high = _format.energy(record.energy_low_mj), _format.energy(record.energy_high_mj)
    return f"{_format.energy(record.energy_mj)}  (estimate: between {low} and {high}, DRAM included)"


def _traffic(record: RunRecord) -> str:
    moved = record.dram_read_bytes + record.dram_write_bytes
    text = f"{readable_bytes(record.dram_read_bytes)} read, {readable_bytes(record.dram_write_bytes)} written"
    if not record.compulsory_bytes:
        return text
    return f"{text}  ({_format.significant(moved / record.compulsory_bytes)} times the compulsory bytes)"


def _check(record: RunRecord) -> str:
    if not record.checked:
        return "not compared (--no-check)"
    if not record.outputs_mismatched:
        return f"identical: {record.outputs_compared:,} values, 0 mismatches"
    found = f"{record.outputs_mismatched:,} of {record.outputs_compared:,} values differ"
    parts = []
    if record.max_error_steps:
        parts.append(f"the largest error is {record.max_error_steps} quantisation steps")
    if record.signal_to_noise_db is not None:
        error = max(check.max_absolute_error for check in record.outputs if check.step is None)
        parts.append(f"of floats {error:.3g}, {record.signal_to_noise_db:.1f} dB below the signal")
    return ", ".join([found, *parts])


def _bit_errors(record: RunRecord) -> list[tuple[str, str]]:
    errors = record.bit_errors
    if errors is None:
        return []
    rows = [
        (
            "bit errors",
            f"{errors.wrong_cells:,} wrong cells (rate {errors.rate:g}, seed {errors.seed}), ECC {errors.ecc}"
            f": of {errors.hit:,} bursts {errors.corrected:,} corrected, {errors.detected:,} detected, "
            f"{errors.silent:,} silently wrong",
        ),
        *(("", line) for line in errors.words),
    ]
    steps = [output.max_error_steps for output in errors.outputs if output.max_error_steps is not None]
    far = f", by up to {max(steps)} quantisation steps" if errors.mismatched and steps else ""
    rows.append(
        (
            "their effect",
            f"{errors.mismatched:,} of {errors.compared:,} values differ from the run without errors{far}",
        )
    )
    return rows


def _seconds(record: RunRecord) -> str:
    seconds = record.seconds
    parts = (
        ("compile", seconds.compile),
        ("emulate", seconds.emulate),
        ("cycles", seconds.time),
        ("host", seconds.host),
        ("check", seconds.check),
    )
    return ", ".join(f"{name} {value:.2f} s" for name, value in parts if value)


_COLUMNS = (
    ("layer", True),
    ("operator", True),
    ("cycles", False),
    ("share", False),
    ("MACs", False),
    ("utilisation", False),
    ("DRAM", False),
    ("bound by", True),
)
"""Column of the layer table, and whether it holds words (else numbers, to the right)."""
_LEFT_OUT_WHEN_NARROW = (4, 6)
_NARROW_COLUMNS = 100


def _layers(record: RunRecord, limit: int, width: int) -> Table:
    ranked = sorted(enumerate(record.layers), key=lambda pair: (-pair[1].cycles, pair[0]))
    rest = [layer for _, layer in ranked[limit:]]
    kept = [n for n in range(len(_COLUMNS)) if width >= _NARROW_COLUMNS or n not in _LEFT_OUT_WHEN_NARROW]
    table = titled_table("Layers that take the time")
    for number in kept:
        name, words = _COLUMNS[number]
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=number > 0)
    for _, layer in ranked[:limit]:
        cells = _layer_cells(layer, record)
        table.add_row(*(plain_text(cells[number]) for number in kept))
    if rest:
        cells = _rest_cells(rest, record)
        table.add_row(*(cells[number] for number in kept), style="dim")
    return table


def _rest_cells(rest: list[LayerResult], record: RunRecord) -> tuple[str, ...]:
    cycles = sum(layer.cycles for layer in rest)
    return (
        f"{len(rest)} more",
        "",
        f"{cycles:,}",
        _format.percent(cycles / max(1, record.cycles)),
        _format.scaled(sum(layer.macs for layer in rest), ""),
        "",
        readable_bytes(sum(layer.dram_bytes for layer in rest)),
        "",
    )


def _layer_cells(layer: LayerResult, record: RunRecord) -> tuple[str, ...]:
    return (
        _short(layer.name),
        _short(layer.onnx_type),
        f"{layer.cycles:,}",
        _format.percent(layer.cycles / max(1, record.cycles)),
        _format.scaled(layer.macs, "") if layer.macs else "-",
        _format.percent(layer.utilisation) if layer.macs else "-",
        readable_bytes(layer.dram_bytes),
        layer.bound_by,
    )


def _units(record: RunRecord) -> Table:
    causes = list(dict.fromkeys(cause for unit in record.units for cause, _ in unit.causes))
    table = titled_table("Where each cycle went")
    table.add_column("")
    for unit in record.units:
        table.add_column(unit.unit, justify="right")
    for cause in causes:
        shares = (dict(unit.causes).get(cause, 0) / max(1, record.cycles) for unit in record.units)
        table.add_row(cause, *(_format.percent(share) if share else "-" for share in shares))
    return table


def _host(record: RunRecord) -> Table:
    """One row for each operator type and reason, the longest first."""
    groups: dict[tuple[str, str], list[HostOperator]] = {}
    for operator in record.host_operators:
        groups.setdefault((operator.onnx_type, operator.reason), []).append(operator)
    times = {
        key: sum({one.stage: one.milliseconds for one in group}.values()) for key, group in groups.items()
    }
    table = titled_table("On the host")
    for name in ("operator", "nodes", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    ranked = sorted(groups, key=lambda key: -times[key])
    for key in ranked[:TOP_LAYERS]:
        names = [operator.name for operator in groups[key]]
        shown = _short(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        cells = (key[0], shown, key[1][:_MAX_REASON])
        table.add_row(*(plain_text(cell) for cell in cells), _format.milliseconds(times[key]))
    if len(ranked) > TOP_LAYERS:
        table.add_row(f"{len(ranked) - TOP_LAYERS} more kinds", "", "", "", style="dim")
    return table
