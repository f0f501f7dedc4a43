"""A memory controller in plain Python that tries every cycle in turn, to hold the event-driven one against.

It keeps all commands that it has sent, and asks the table's rules of each command that it would like to send.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from hanok.dram.mapping import parse_mapping
from hanok.machine import Policy
from hanok.dram.standard import Bus, Command, Rule, Standard

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command
Place = tuple[int, ...]
"""(rank, group, bank), or () for a whole pseudo-channel."""
Sent = tuple[int, ...]
"""Cycle, command, channel, pseudo, rank, group, bank, row, column, as in a trace."""
DEPTHS = {"pseudo": 0, "rank": 1, "other_rank": 1, "group": 2, "bank": 3}
"""How much of a place names the part of a pseudo-channel in which a rule holds."""
LAST = 1 << 60
"""Later than any request's number."""


@dataclass
class Request:
    """What a queue holds, and what became of it."""

    write: bool
    arrival: int
    place: Place
    row: int
    column: int
    number: int = -1
    """In the order of entry."""
    seen: bool = False
    """Whether a command was sent for it."""
    admitted: int = -1
    completed: int = -1


@dataclass
class Channel:
    """What the pseudo-channels of a channel share."""

    busy: dict[Bus, int] = field(default_factory=lambda: dict.fromkeys(Bus, -1))
    """The last cycle in which a command holds a bus."""
    last_sender: int = 0
    """Which pseudo-channel sent the last row command."""


@dataclass(frozen=True)
class Wish:
    """A row command that would be sent; of two in one cycle the one of less `age` goes."""

    age: int
    command: Command
    place: Place = ()


class History:
    """The cycles of all commands that one pseudo-channel was sent."""

    def __init__(self, standard: Standard) -> None:
        self.ranks = range(standard.organisation.ranks)
        self.rules: dict[Command, list[Rule]] = defaultdict(list)
        for rule in standard.rules:
            self.rules[rule.after].append(rule)
        self.cycles: dict[tuple[str, Place, Command], list[int]] = defaultdict(list)

    def add(self, command: Command, cycle: int, place: Place) -> None:
        for level, depth in DEPTHS.items():
            if depth <= len(place):
                self.cycles[level, place[:depth], command].append(cycle)

    def allows(self, command: Command, cycle: int, place: Place) -> bool:
        """Whether no rule forbids `command` at `cycle`."""
        for rule in self.rules[command]:
            depth = DEPTHS[rule.level]
            if depth > len(place):
                continue
            parts = [place[:depth]]
            if rule.level == "other_rank":
                parts = [(rank,) for rank in self.ranks if rank != place[0]]
            for part in parts:
                before = self.cycles[rule.level, part, rule.before]
                if len(before) >= rule.window and cycle - before[-rule.window] < rule.cycles:
                    return False
        return True


class Unit:
    """One pseudo-channel: its queues, its banks and what it does in a cycle."""

    def __init__(self, standard: Standard, policy: Policy, channel: Channel, numbers: tuple[int, int]) -> None:
        self.standard, self.policy, self.channel, self.numbers = standard, policy, channel, numbers
        self.port: deque[Request] = deque()
        self.queues: tuple[list[Request], list[Request]] = [], []
        self.mode = 0
        self.entered = 0
        self.history = History(standard)
        self.sent: list[Sent] = []
        self.tally: Counter[str] = Counter()
        """By the names of hanok's counters."""
        self.last_column: Command | None = None
        shape = standard.organisation
        self.places: list[Place] = list(product(range(shape.ranks), range(shape.groups), range(shape.banks_per_group)))
        self.rows: dict[Place, int] = {}
        self.used: set[Place] = set()
        self.bypassed = dict.fromkeys(self.places, 0)
        self.half: tuple[Place, int, int] | None = None
        """Bank, row and cycle of an ACT1 whose ACT is still to come."""
        self.per_bank = policy.refresh == "per_bank"
        self.interval = (
            standard.bank_refresh_interval_cycles if self.per_bank else standard.refresh_interval_cycles
        )
        self.due = self.interval if policy.refresh != "none" else LAST
        self.owed = 0
        self.target = 0
        one_bus = len({form.bus for form in standard.forms.values()}) == 1
        self.period = 1 if one_bus else shape.pseudo_channels * standard.clock_cycles
        self.phase = 0 if one_bus else numbers[1] * standard.clock_cycles

    def settle(self, now: int) -> None:
        """Refreshes fall due, requests enter, and the queue is chosen."""
        while now >= self.due:
            self.owed += 1
            self.due += self.interval
        while self.port and self.port[0].arrival <= now and self.admit(self.port[0], now):
            self.port.popleft()
        reads, writes = map(len, self.queues)
        if self.mode == 0 and (writes >= self.policy.write_high or (not reads and writes)):
            self.mode = 1
        elif self.mode == 1 and reads and (writes < self.policy.write_low or not writes):
            self.mode = 0

    def admit(self, request: Request, now: int) -> bool:
        """Let a request in or answer it, unless its queue is full."""
        burst = (request.place, request.row, request.column)
        if any((other.place, other.row, other.column) == burst for other in self.queues[1]):
            request.completed = now
            if request.write:
                self.tally["coalesced_writes"] += 1
            else:
                request.completed += self.standard.read_latency_cycles + self.standard.burst_cycles
                self.tally["forwarded_reads"] += 1
        elif len(self.queues[request.write]) < (self.policy.read_queue, self.policy.write_queue)[request.write]:
            request.number = self.entered
            self.entered += 1
            self.queues[request.write].append(request)
        else:
            return False
        request.admitted = now
        return True

    def waiting(self, place: Place) -> list[Request]:
        """The bank's requests in the queue that is served."""
        return [request for request in self.queues[self.mode] if request.place == place]

    def is_all_wanted(self) -> bool:
        if self.per_bank:
            return False
        return self.owed > self.policy.postponed_refreshes or (self.owed > 0 and not any(self.queues))

    def wanted_bank(self) -> Place | None:
        """The bank whose refresh is wanted."""
        if not self.per_bank or self.owed == 0:
            return None
        place = self.places[self.target]
        idle = all(request.place != place for queue in self.queues for request in queue)
        return place if idle or self.owed > self.policy.postponed_refreshes * len(self.places) else None

    def columns(self) -> list[Request]:
        """The requests whose column commands may be sent as soon as they are legal."""
        found = []
        all_wanted, target = self.is_all_wanted(), self.wanted_bank()
        for place in {request.place for request in self.queues[self.mode]} & set(self.rows):
            waiting = self.waiting(place)
            hits = [request for request in waiting if request.row == self.rows[place]]
            if not hits or (hits[0] is not waiting[0] and self.bypassed[place] >= self.policy.row_hit_cap):
                continue
            if (all_wanted or place == target) and place in self.used:
                continue
            found.append(hits[0])
        return found

    def row_wishes(self) -> list[Wish]:
        """The row commands that may be sent as soon as they are legal."""
        if self.is_all_wanted():
            if self.half or self.columns():
                return []
            return [Wish(-1, PREA if self.rows else REFA)]
        found = []
        target = self.wanted_bank()
        if target:
            found += self.wishes_for_refresh(target)
        for place in {request.place for request in self.queues[self.mode]} - {target}:
            found += self.wishes_for_requests(place)
        if self.policy.page == "closed":
            wanted = {(request.place, request.row) for queue in self.queues for request in queue}
            unwanted = [place for place in self.used if (place, self.rows[place]) not in wanted]
            found += [Wish(LAST + self.places.index(place), PRE, place) for place in unwanted]
        return found

    def wishes_for_refresh(self, place: Place) -> list[Wish]:
        if place not in self.rows:
            return [] if self.half else [Wish(-1, REFB, place)]
        if place not in self.used and any(request.row == self.rows[place] for request in self.waiting(place)):
            return []
        return [Wish(-1, PRE, place)]

    def wishes_for_requests(self, place: Place) -> list[Wish]:
        waiting = self.waiting(place)
        first = waiting[0]
        if place not in self.rows:
            return [] if self.half else [Wish(first.number, self.first_half, place)]
        if first.row == self.rows[place]:
            return []
        hits = any(request.row == self.rows[place] for request in waiting)
        if hits and self.bypassed[place] < self.policy.row_hit_cap:
            return []
        return [Wish(first.number, PRE, place)]

    @property
    def first_half(self) -> Command:
        return ACT1 if ACT1 in self.standard.forms else ACT

    def is_legal(self, command: Command, cycle: int, place: Place) -> bool:
        """Whether the command fits on its bus and every rule is kept."""
        form = self.standard.forms[command]
        if self.channel.busy[form.bus] >= cycle - form.lead or cycle % form.align:
            return False
        if command in (RD, WR) and cycle % self.period != self.phase:
            return False
        if command == ACT1:
            second = cycle + self.standard.activate_gap_cycles[0]
            if second % self.standard.forms[ACT].align or not self.history.allows(ACT, second, place):
                return False
        return self.history.allows(command, cycle, place)

    def send(self, command: Command, cycle: int, place: Place, row: int = -1, column: int = -1) -> None:
        form = self.standard.forms[command]
        self.channel.busy[form.bus] = cycle + form.tail
        self.history.add(command, cycle, place)
        self.sent.append((cycle, command, *self.numbers, *(place or (-1, -1, -1)), row, column))

    def try_column(self, now: int) -> bool:
        """Send the oldest column command that can begin now."""
        command = (RD, WR)[self.mode]
        form = self.standard.forms[command]
        cycle = now + form.lead
        legal = [request for request in self.columns() if self.is_legal(command, cycle, request.place)]
        if not legal or (self.half and cycle + form.tail >= self.deadline):
            return False
        request = min(legal, key=lambda found: found.number)
        self.bypassed[request.place] += 1
        if request is self.waiting(request.place)[0]:
            self.bypassed[request.place] = 0
        self.send(command, cycle, request.place, request.row, request.column)
        standard = self.standard
        latency = standard.write_latency_cycles if request.write else standard.read_latency_cycles
        request.completed = cycle + latency + standard.burst_cycles
        self.queues[self.mode].remove(request)
        self.used.add(request.place)
        self.tally["row_hits"] += not request.seen
        self.tally["reads"] += not request.write
        self.tally["writes"] += request.write
        self.tally["turnarounds"] += self.last_column not in (None, command)
        self.last_column = command
        return True

    @property
    def deadline(self) -> int:
        assert self.half
        return self.half[2] + self.standard.activate_gap_cycles[1]

    def next_row(self, now: int) -> Wish | None:
        """The row command that the unit would send now."""
        if self.half:
            place, _, begun = self.half
            least, most = self.standard.activate_gap_cycles
            assert now <= begun + most, "an ACT comes in time"
            if now >= begun + least and self.is_legal(ACT, now, place):
                return Wish(-1, ACT, place)
        legal = [wish for wish in self.row_wishes() if self.is_legal(wish.command, now, wish.place)]
        return min(legal, key=lambda wish: wish.age, default=None)

    def send_row(self, wish: Wish, now: int) -> None:
        self.channel.last_sender = self.numbers[1]
        command, place = wish.command, wish.place
        waiting = self.waiting(place)
        row = self.rows.get(place, -1)
        if command == PRE and waiting and waiting[0].row != row and not waiting[0].seen:
            waiting[0].seen = True
            self.tally["row_conflicts"] += 1
        if command in (ACT1, ACT):
            self.activate(command, now, place)
            return
        self.send(command, now, place, row)
        if command in (PRE, PREA):
            self.tally["precharges"] += 1
            for closed in [place] if place else list(self.rows):
                del self.rows[closed]
                self.used.discard(closed)
        else:
            self.owed -= 1
            self.tally["refreshes"] += command == REFA
            self.tally["bank_refreshes"] += command == REFB
            self.target = (self.target + (command == REFB)) % len(self.places)

    def activate(self, command: Command, now: int, place: Place) -> None:
        """Open the row of the bank's oldest request, or the one whose ACT1 was sent."""
        if self.half:
            row, self.half = self.half[1], None
        else:
            first = self.waiting(place)[0]
            row = first.row
            self.tally["row_misses"] += not first.seen
            first.seen = True
        self.send(command, now, place, row)
        if command == ACT1:
            least, most = self.standard.activate_gap_cycles
            self.half = (place, row, now)
            if least == most:
                self.activate(ACT, now + least, place)
            return
        self.tally["activates"] += 1
        self.rows[place], self.bypassed[place] = row, 0

    def is_idle(self) -> bool:
        """Whether there is nothing to send until something arrives or falls due."""
        return not self.half and not self.columns() and not self.row_wishes()


def _do_cycle(channel: Channel, units: list[Unit], now: int) -> None:
    """Send all that can begin now."""
    while True:
        for unit in units:
            unit.settle(now)
            while unit.try_column(now):
                unit.settle(now)
        ready = [(unit, wish) for unit in units if (wish := unit.next_row(now))]
        if not ready:
            return
        unit, wish = min(ready, key=lambda pair: pair[0].numbers[1] == channel.last_sender)
        unit.send_row(wish, now)


def _run_channel(channel: Channel, units: list[Unit]) -> None:
    now = 0
    while units:
        _do_cycle(channel, units, now)
        units = [unit for unit in units if unit.port or not unit.is_idle()]
        now += 1
        if units and all(unit.is_idle() for unit in units):
            now = max(now, min(min(unit.port[0].arrival, unit.due) for unit in units))


def stepped_run(
    standard: Standard,
    writes: Sequence[bool],
    addresses: Sequence[int],
    arrivals: Sequence[int],
    channels: int,
    policy: Policy,
    mapping: str,
) -> tuple[list[int], list[int], list[Sent], Counter[str]]:
    """Return when each request entered and when its data were through, all commands, and the counters."""
    table = parse_mapping(mapping or standard.mapping, standard, channels)
    pseudo_channels = range(standard.organisation.pseudo_channels)
    shared = [Channel() for _ in range(channels)]
    units = [[Unit(standard, policy, channel, (i, p)) for p in pseudo_channels] for i, channel in enumerate(shared)]
    requests = []
    for write, address, arrival in zip(writes, addresses, arrivals, strict=True):
        at = table.locate(int(address))
        place = at["rank"], at["group"], at["bank"]
        requests.append(Request(bool(write), int(arrival), place, at["row"], at["column"]))
        units[at["channel"]][at["pseudo"]].port.append(requests[-1])
    for channel, its_units in zip(shared, units, strict=True):
        _run_channel(channel, its_units)
    every = [unit for its_units in units for unit in its_units]
    return (
        [request.admitted for request in requests],
        [request.completed for request in requests],
        sorted(command for unit in every for command in unit.sent),
        sum((unit.tally for unit in every), Counter()),
    )
