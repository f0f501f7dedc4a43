"""A memory controller in plain Python that tries every cycle in turn, to hold the event-driven one against.

It keeps all commands that it has sent, and asks the table's rules of each command that it would like to send.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, product

from hanok.dram.mapping import parse_mapping
from hanok.dram.standard import Bus, Command, Rule, Standard
from hanok.machine import Policy

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command
Place = tuple[int, ...]
"""(rank, group, bank), or () for a whole pseudo-channel."""
Sent = tuple[int, ...]
"""Cycle, command, channel, pseudo, rank, group, bank, row, column, as in a trace."""
DEPTHS = {"pseudo": 0, "rank": 1, "other_rank": 1, "group": 2, "bank": 3}
"""How much of a place names the part of a pseudo-channel in which a rule holds."""
NEVER = 1 << 60


@dataclass
class Request:
    """What a queue holds, and what became of it."""

    write: bool
    place: Place
    row: int
    column: int
    arrival: int = NEVER
    number: int = -1
    """In the order of entry."""
    seen: bool = False
    admitted: int = -1
    completed: int = -1


@dataclass
class Channel:
    """What the pseudo-channels of a channel share."""

    busy: dict[Bus, int] = field(default_factory=lambda: dict.fromkeys(Bus, -1))
    """The last cycle in which a command holds a bus."""
    last_sender: int = 0
    """Which pseudo-channel sent the last command."""


@dataclass(frozen=True)
class Wish:
    """A command, perhaps for a request; of those that can begin at once that of the least `rank` goes."""

    rank: tuple[int, ...]
    command: Command
    place: Place = ()
    request: Request | None = None


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

    def __init__(self, standard: Standard, policy: Policy, channel: Channel, number: tuple[int, int]) -> None:
        self.standard, self.policy, self.channel, self.number = standard, policy, channel, number
        self.port: deque[Request] = deque()
        self.queues: tuple[dict[Place, list[Request]], ...] = {}, {}
        """Reads and writes of each bank, the oldest first."""
        self.mode = self.entered = 0
        self.history = History(standard)
        self.sent: list[Sent] = []
        self.tally: Counter[str] = Counter()
        """By the names of hanok's counters."""
        self.last_column: Command | None = None
        shape = standard.organisation
        parts = range(shape.ranks), range(shape.groups), range(shape.banks_per_group)
        self.places: list[Place] = list(product(*parts))
        self.rows: dict[Place, int] = {}
        self.owners: dict[Place, Request] = {}
        """The requests that open rows were opened for, until they are served."""
        self.bypassed = dict.fromkeys(self.places, 0)
        self.half: tuple[Request, int] | None = None
        """Whose ACT is still to come, and the cycle of its ACT1."""
        self.per_bank = policy.refresh == "per_bank"
        self.interval = standard.refresh_interval_cycles
        if self.per_bank:
            self.interval = standard.bank_refresh_interval_cycles
        self.due = self.interval if policy.refresh != "none" else NEVER
        self.owed = self.target = 0
        self.first = ACT1 if ACT1 in standard.forms else ACT
        apart = [
            rule.cycles
            for rule in standard.rules
            if (rule.before, rule.after, rule.window) == (ACT, REFB, 1) and rule.level != "bank"
        ]
        self.before_refresh = standard.activate_gap_cycles[0] + max(apart, default=0)
        """An activate that begins so many cycles before a wanted refresh would put it off."""

    def let_in(self, now: int) -> None:
        """Refreshes fall due, and requests enter."""
        while now >= self.due:
            self.owed += 1
            self.due += self.interval
        while self.port and self.port[0].arrival <= now and self.admit(self.port[0], now):
            self.port.popleft()

    def choose_queue(self) -> None:
        reads, writes = self.count(0), self.count(1)
        if self.mode == 0 and (writes >= self.policy.write_high or (not reads and writes)):
            self.mode = 1
        elif self.mode == 1 and reads and (writes < self.policy.write_low or not writes):
            self.mode = 0

    def count(self, kind: int) -> int:
        """How many requests take room in a queue; those that a row was opened for do not."""
        owners = sum(owner.write == kind for owner in self.owners.values())
        return sum(map(len, self.queues[kind].values())) - owners

    def admit(self, request: Request, now: int) -> bool:
        """Let a request in or answer it, unless its queue is full."""
        burst, place = (request.row, request.column), request.place
        if any((other.row, other.column) == burst for other in self.waiting(1, place)):
            later = self.standard.read_latency_cycles + self.standard.burst_cycles
            request.completed = now if request.write else now + later
            self.tally["coalesced_writes" if request.write else "forwarded_reads"] += 1
        elif self.count(request.write) < (self.policy.read_queue, self.policy.write_queue)[request.write]:
            request.number = self.entered
            self.entered += 1
            self.queues[request.write].setdefault(place, []).append(request)
        else:
            return False
        request.admitted = now
        return True

    def waiting(self, kind: int, place: Place) -> list[Request]:
        """A bank's requests in a queue, the oldest first."""
        return self.queues[kind].get(place, [])

    def are_all_wanted(self) -> bool:
        """Whether the refresh of all banks is wanted."""
        wanted = self.owed > self.policy.postponed_refreshes or (self.owed > 0 and not any(self.queues))
        return wanted and not self.per_bank

    def wanted_bank(self) -> Place | None:
        """The bank whose refresh is wanted."""
        if not self.per_bank or self.owed == 0:
            return None
        place = self.places[self.target]
        idle = not self.waiting(0, place) and not self.waiting(1, place)
        return place if idle or self.owed > self.policy.postponed_refreshes * len(self.places) else None

    def wishes(self) -> list[Wish]:
        """All that may be sent as soon as it is legal."""
        columns = self.column_wishes()
        halves = [Wish((1,), ACT, self.half[0].place)] if self.half else []
        if not self.are_all_wanted():
            return columns + halves + self.row_wishes()
        if columns or halves:
            return columns + halves
        return [Wish((2,), PREA if self.rows else REFA)]

    def column_wishes(self) -> list[Wish]:
        found = []
        all_wanted, target = self.are_all_wanted(), self.wanted_bank()
        for kind, place in product((0, 1), self.rows):
            waiting, owner = self.waiting(kind, place), self.owners.get(place)
            hits = [request for request in waiting if request.row == self.rows[place]]
            if not hits or (hits[0] is not waiting[0] and self.bypassed[place] >= self.policy.row_hit_cap):
                continue
            if hits[0] is owner or not (kind != self.mode or all_wanted or place == target):
                rank = (0, hits[0] is not owner, hits[0].number)
                found.append(Wish(rank, (RD, WR)[kind], place, hits[0]))
        return found

    def row_wishes(self) -> list[Wish]:
        """Row commands, but for those that end an activate and those that refresh all banks."""
        found = []
        target = self.wanted_bank()
        if target and target not in self.owners and (target in self.rows or not self.half):
            found.append(Wish((2, -1), PRE if target in self.rows else REFB, target))
        for place in set(self.queues[self.mode]) - {target}:
            command = self.wish_of_bank(place)
            if command is not None:
                found.append(Wish((2, self.waiting(self.mode, place)[0].number), command, place))
        if self.policy.page == "closed":
            for place, row in self.rows.items():
                if all(request.row != row for kind in (0, 1) for request in self.waiting(kind, place)):
                    found.append(Wish((3, self.places.index(place)), PRE, place))
        return found

    def wish_of_bank(self, place: Place) -> Command | None:
        """The row command that the bank's oldest request in the queue that is served needs."""
        waiting, row = self.waiting(self.mode, place), self.rows.get(place)
        if row is None:
            return None if self.half else ACT1 if ACT1 in self.standard.forms else ACT
        if waiting[0].row == row or place in self.owners:
            return None
        hits = any(request.row == row for request in waiting)
        return None if hits and self.bypassed[place] < self.policy.row_hit_cap else PRE

    def can_begin(self, command: Command, place: Place, now: int) -> bool:
        """Whether a command that begins now fits on its bus and keeps every rule."""
        form = self.standard.forms[command]
        cycle = now + form.lead
        if self.channel.busy[form.bus] >= now or cycle % form.align:
            return False
        least, most = self.standard.activate_gap_cycles
        if command == ACT1:
            second = cycle + least
            if second % self.standard.forms[ACT].align or not self.history.allows(ACT, second, place):
                return False
        if self.half:
            begun = self.half[1]
            assert now <= begun + most, "an ACT comes in time"
            if command == ACT and now < begun + least:
                return False
            if command in (RD, WR) and cycle + form.tail >= begun + most:
                return False
        return self.history.allows(command, cycle, place)

    def refresh_cycle(self, now: int) -> int:
        """The first cycle in which the closed bank whose refresh is wanted can have it, or NEVER."""
        target = self.wanted_bank()
        if target is None or target in self.rows or self.half:
            return NEVER
        return next(cycle for cycle in count(now) if self.can_begin(REFB, target, cycle))

    def next_command(self, now: int) -> Wish | None:
        """The command that the unit would begin now."""
        refresh = self.refresh_cycle(now)
        ready = [
            wish
            for wish in self.wishes()
            if self.can_begin(wish.command, wish.place, now)
            and not (wish.command == self.first and now < refresh < now + self.before_refresh)
        ]
        return min(ready, key=lambda wish: wish.rank, default=None)

    def put_on_bus(self, command: Command, cycle: int, place: Place, row: int = -1, column: int = -1) -> None:
        form = self.standard.forms[command]
        self.channel.busy[form.bus] = cycle + form.tail
        self.history.add(command, cycle, place)
        self.sent.append((cycle, command, *self.number, *(place or (-1, -1, -1)), row, column))

    def send(self, wish: Wish, now: int) -> None:
        """Begin a command now."""
        self.channel.last_sender = self.number[1]
        command, place = wish.command, wish.place
        cycle = now + self.standard.forms[command].lead
        if wish.request:
            self.serve(wish.request, command, cycle)
        elif command in (ACT1, ACT):
            request = self.half[0] if self.half else self.waiting(self.mode, place)[0]
            self.see(request, "row_misses")
            self.activate(request, command, cycle)
        elif command in (PRE, PREA):
            self.close(command, cycle, place)
        else:
            self.put_on_bus(command, cycle, place)
            self.owed -= 1
            self.tally["refreshes" if command == REFA else "bank_refreshes"] += 1
            self.target = (self.target + (command == REFB)) % len(self.places)

    def see(self, request: Request, counter: str) -> None:
        """Count what a request's first command is."""
        self.tally[counter] += not request.seen
        request.seen = True

    def serve(self, request: Request, command: Command, cycle: int) -> None:
        """Send a column command."""
        place, standard = request.place, self.standard
        waiting = self.waiting(request.write, place)
        self.bypassed[place] = 0 if request is waiting[0] else self.bypassed[place] + 1
        self.put_on_bus(command, cycle, place, request.row, request.column)
        latency = standard.write_latency_cycles if request.write else standard.read_latency_cycles
        request.completed = cycle + latency + standard.burst_cycles
        waiting.remove(request)
        if not waiting:
            del self.queues[request.write][place]
        if self.owners.get(place) is request:
            del self.owners[place]
        self.see(request, "row_hits")
        self.tally["writes" if request.write else "reads"] += 1
        self.tally["turnarounds"] += self.last_column not in (None, command)
        self.last_column = command

    def activate(self, request: Request, command: Command, cycle: int) -> None:
        """Send an ACT, or an ACT1 and what must follow at once."""
        self.put_on_bus(command, cycle, request.place, request.row)
        self.half = None
        if command == ACT1:
            self.half = (request, cycle)
            least, most = self.standard.activate_gap_cycles
            if least == most:
                self.activate(request, ACT, cycle + least)
            return
        self.tally["activates"] += 1
        self.rows[request.place], self.owners[request.place] = request.row, request
        self.bypassed[request.place] = 0

    def close(self, command: Command, cycle: int, place: Place) -> None:
        """Send a PRE or a PREA; a PRE counts for the bank's oldest request, whatever it is sent for."""
        waiting, row = self.waiting(self.mode, place), self.rows.get(place, -1)
        if waiting and waiting[0].row != row:
            self.see(waiting[0], "row_conflicts")
        self.put_on_bus(command, cycle, place, row)
        self.tally["precharges"] += 1
        for closed in [place] if place else list(self.rows):
            del self.rows[closed]


class Host:
    """Gives requests in turn: each no earlier than asked for, than the one before, and, but for the first
    `window`, than the entry of the `window`-th before.
    """

    def __init__(self, requests: list[Request], asked: Sequence[int], window: int) -> None:
        self.requests, self.asked, self.window = requests, asked, window
        self.given = self.last = 0

    def give(self) -> bool:
        """Set the arrivals of requests that can have theirs; whether there are any."""
        before = self.given
        for request in self.requests[before:]:
            entry = self.requests[self.given - self.window].admitted if self.given >= self.window else 0
            if entry < 0:
                break
            request.arrival = self.last = max(self.asked[self.given], self.last, entry)
            self.given += 1
        return self.given > before


def _do_cycle(units: list[Unit], host: Host, now: int) -> None:
    """Send all that can begin now."""
    while True:
        for unit in units:
            unit.let_in(now)
        if host.give():
            continue
        for unit in units:
            unit.choose_queue()
        ready = [(unit, wish) for unit in units if (wish := unit.next_command(now))]
        if not ready:
            return
        unit, wish = min(ready, key=lambda pair: pair[0].number[1] == pair[0].channel.last_sender)
        unit.send(wish, now)


def stepped_run(
    standard: Standard,
    writes: Sequence[bool],
    addresses: Sequence[int],
    arrivals: Sequence[int],
    channels: int,
    policy: Policy,
    mapping: str,
    window: int = 0,
) -> tuple[list[int], list[int], list[Sent], Counter[str]]:
    """Return when each request entered and when its data were through, all commands, and the counters.

    window: as a Host's; 0: all come when asked for. Refreshes go on until the last data of all are through.
    """
    table = parse_mapping(mapping or standard.mapping, standard, channels)
    width = standard.organisation.pseudo_channels
    shared = [Channel() for _ in range(channels)]
    units = [Unit(standard, policy, shared[i // width], divmod(i, width)) for i in range(channels * width)]
    requests = []
    for write, address, arrival in zip(writes, addresses, arrivals, strict=True):
        at = table.locate(address)
        place = at["rank"], at["group"], at["bank"]
        requests.append(Request(write, place, at["row"], at["column"], NEVER if window else arrival))
        units[at["channel"] * width + at["pseudo"]].port.append(requests[-1])
    host, now, end = Host(requests if window else [], arrivals, window), 0, NEVER
    while now <= end:
        _do_cycle(units, host, now)
        now += 1
        if all(request.completed >= 0 for request in requests):
            end = max([0, *(request.completed for request in requests)])
        if not any(unit.wishes() for unit in units):
            arrivals_left = [unit.port[0].arrival for unit in units if unit.port]
            now = max(now, min([*arrivals_left, *(unit.due for unit in units), end + 1]))
    return (
        [request.admitted for request in requests],
        [request.completed for request in requests],
        sorted(command for unit in units for command in unit.sent),
        sum((unit.tally for unit in units), Counter()),
    )
