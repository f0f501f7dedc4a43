"""Refusal of standards with missing or contradictory rules: for users who bring their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from hanok.dram.standard import LEVELS, Command, Rule, Standard
from hanok.errors import ChipError

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

_ALWAYS = (ACT, PRE, PREA, RD, WR, REFA)
_WHOLE_CHANNEL = (PREA, REFA)


def check_standard(standard: Standard) -> None:
    """Raise ChipError, with the first fault found, for a table that no controller can work with."""
    for fault in _faults(standard):
        raise ChipError(f"standard '{standard.name[:64]}': {fault}")


def _faults(standard: Standard) -> Iterator[str]:
    yield from _organisation(standard)
    yield from _numbers(standard)
    yield from _commands(standard)
    for rule in standard.rules:
        yield from _rule(standard, rule)
    yield from _missing(standard)
    yield from _refresh(standard)
    yield from _contradictions(standard)
    yield from _data_bus(standard)


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _organisation(standard: Standard) -> Iterator[str]:
    for part in fields(standard.organisation):
        value = getattr(standard.organisation, part.name)
        if not _is_power_of_two(value):
            yield f"organisation.{part.name} is {value}; allowed: powers of two"
    if not _is_power_of_two(standard.burst_bytes):
        yield f"burst_bytes is {standard.burst_bytes}; allowed: powers of two"


def _numbers(standard: Standard) -> Iterator[str]:
    for name, least in (
        ("tck_fs", 1),
        ("clock_cycles", 1),
        ("burst_cycles", 1),
        ("read_latency_cycles", 0),
        ("write_latency_cycles", 0),
        ("refresh_interval_cycles", 1),
        ("bank_refresh_interval_cycles", 0),
    ):
        value = getattr(standard, name)
        if value < least:
            yield f"{name} is {value}; allowed: at least {least}"
    least, most = standard.activate_gap_cycles
    if not 0 <= least <= most or (least == 0) != (most == 0):
        yield (
            f"activate_gap_cycles is {least}..{most}; allowed: 0..0 (one command), or at least 1 and at most "
            "something not less"
        )


def _commands(standard: Standard) -> Iterator[str]:
    two_commands = standard.activate_gap_cycles != (0, 0)
    wanted = [*_ALWAYS]
    wanted += [ACT1] if two_commands else []
    wanted += [REFB] if standard.bank_refresh_interval_cycles else []
    for command in wanted:
        if command not in standard.forms:
            yield f"{command.name} has no form: say on which bus it lies and for how long"
    if ACT1 in standard.forms and not two_commands:
        yield "ACT1 has a form, but activate_gap_cycles says that an activate is one command"
    for command, form in standard.forms.items():
        if form.lead < 0 or form.tail < 0 or form.align < 1:
            yield (
                f"the form of {command.name} has lead {form.lead}, tail {form.tail}, align {form.align}; "
                "allowed: at least 0, 0 and 1"
            )


def _rule(standard: Standard, rule: Rule) -> Iterator[str]:
    if rule.level not in LEVELS:
        yield f"rule '{rule}': level '{rule.level[:32]}' is unknown; allowed: {', '.join(LEVELS)}"
    for command in (rule.before, rule.after):
        if command not in standard.forms:
            yield f"rule '{rule}': the standard has no {command.name}"
        if command in _WHOLE_CHANNEL and rule.level != "pseudo":
            yield f"rule '{rule}': {command.name} is for a whole pseudo-channel; allowed: level pseudo"
    if rule.cycles < 0:
        yield f"rule '{rule}': {rule.cycles} cycles; allowed: at least 0"
    if rule.window < 1:
        yield f"rule '{rule}': window {rule.window}; allowed: at least 1"
    if rule.window > 1 and (rule.before is not ACT or rule.level != "pseudo"):
        yield f"rule '{rule}': windows are for activates of a pseudo-channel alone"


def _first(standard: Standard) -> Command:
    return ACT if standard.activate_gap_cycles == (0, 0) else ACT1


def _missing(standard: Standard) -> Iterator[str]:
    first = _first(standard)
    wanted = [
        ("bank", ACT, RD),
        ("bank", ACT, WR),
        ("bank", ACT, PRE),
        ("bank", ACT, ACT),
        ("bank", PRE, first),
        ("bank", RD, PRE),
        ("bank", WR, PRE),
        ("pseudo", ACT, PREA),
        ("pseudo", RD, PREA),
        ("pseudo", WR, PREA),
        ("pseudo", PREA, first),
        ("pseudo", PREA, REFA),
        ("pseudo", PRE, REFA),
        ("pseudo", REFA, first),
        ("pseudo", REFA, REFA),
    ]
    if standard.bank_refresh_interval_cycles:
        wanted += [("bank", PRE, REFB), ("bank", REFB, first), ("bank", REFB, REFB), ("pseudo", PREA, REFB)]
        wanted += [("pseudo", REFA, REFB), ("pseudo", REFB, REFA)]
    there = {(rule.level, rule.before, rule.after) for rule in standard.rules if rule.window == 1}
    for level, before, after in wanted:
        if (level, before, after) not in there:
            yield f"no rule {level}: {before.name} -> {after.name}; every standard needs one"


def _refresh(standard: Standard) -> Iterator[str]:
    interval, first = standard.refresh_interval_cycles, _first(standard)
    recovery = standard.delay("pseudo", REFA, first)
    if interval <= recovery:
        yield f"a refresh every {interval} cycles takes {recovery} (REFA -> {first.name}); nothing is left"
    interval = standard.bank_refresh_interval_cycles
    apart = max(standard.delay(level, REFB, REFB) for level in ("pseudo", "rank"))
    if interval and interval <= apart:
        yield f"a bank is to be refreshed every {interval} cycles; REFB -> REFB takes {apart}"
    if interval and interval * standard.organisation.banks <= standard.delay("bank", REFB, first):
        yield "a bank is to be refreshed again before its refresh (REFB) has ended"


def _contradictions(standard: Standard) -> Iterator[str]:
    cycle, active = standard.delay("bank", ACT, ACT), standard.delay("bank", ACT, PRE)
    if cycle <= active:
        yield f"bank: ACT -> ACT {cycle} cycles (tRC) is not longer than ACT -> PRE {active} cycles (tRAS)"
    for column in (RD, WR):
        opened = standard.delay("bank", ACT, column)
        if opened >= cycle + active:
            most = cycle + active
            yield f"bank: ACT -> {column.name} {opened} cycles is not shorter than tRC + tRAS, {most} cycles"


def _data_bus(standard: Standard) -> Iterator[str]:
    latency = {RD: standard.read_latency_cycles, WR: standard.write_latency_cycles}
    for before in (RD, WR):
        for after in (RD, WR):
            needed = latency[before] + standard.burst_cycles - latency[after]
            given = _least_apart(standard, before, after)
            if given < needed:
                yield (
                    f"{before.name} -> {after.name} {given} cycles lets their data overlap; allowed: at "
                    f"least {needed} at level pseudo, or at levels rank and other_rank"
                )


def _least_apart(standard: Standard, before: Command, after: Command) -> int:
    """Cycles that any two such commands of a pseudo-channel are apart by the rules."""
    everywhere, in_rank = standard.delay("pseudo", before, after), standard.delay("rank", before, after)
    if standard.organisation.ranks == 1:
        return max(everywhere, in_rank)
    return max(everywhere, min(in_rank, standard.delay("other_rank", before, after)))
