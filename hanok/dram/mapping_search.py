"""The best address mapping for an access pattern: estimates prune the candidates, the simulator ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from hanok.dram._mapping_estimate import Costs, Floats, Pattern, costs_of, cut_pattern, estimate_cycles
from hanok.dram.mapping import (
    FIELDS,
    LETTERS,
    PRESETS,
    Hash,
    Integers,
    Mapping,
    compose_mapping,
    parse_mapping,
)
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.errors import HanokError
from hanok.machine import Policy

SIMULATED = 65_536
"""Requests of the pattern that each simulated candidate is measured on, at most."""
BLOCKS = 8
"""Runs of neighbouring requests that these are taken from."""
HASHED = 40
"""Candidates that are tried with hashes, too."""
CLIMBS, STEPS, PATIENCE = 5, 120, 40
"""Hill climbs, estimates in each at most, and estimates without a gain that end it."""
WORTH = 0.99
"""A change must bring an estimate down to this share, or it is not worth a longer notation."""
TIES = 3
"""Candidates of one and the same estimate that are simulated, at most."""

NEAR_CYCLES, NEAR_LATENCY = 1.003, 1.02
"""Of mappings so near the fastest one, the shortest notation comes first."""

_REST_ORDERS = ("CGBK", "GCBK", "GBCK", "GBKC", "CBGK", "BGCK", "BKGC")
_NAMES = {field: letter for letter, field in LETTERS.items()}
_DEFAULT_POLICY = Policy()

Measure = Callable[[str], tuple[int, float]]
"""Gives cycles and mean latency (cycles) of the pattern under a mapping."""


@dataclass(frozen=True)
class Candidate:
    """A mapping and what it costs. Cycles are the standard's, for `requests` requests."""

    text: str
    cycles: int
    latency_cycles: float
    """From arrival to data, mean."""
    estimated_cycles: float
    requests: int
    """In the part of the pattern that was simulated."""


@dataclass(frozen=True)
class Requests:
    """A pattern, or a part of it: arrays of one length."""

    writes: NDArray[np.bool_]
    addresses: Integers
    """Bytes."""
    arrivals: Integers
    """Cycles."""


def search_mapping(
    standard: Standard,
    channels: int,
    writes: NDArray[np.bool_],
    addresses: Integers,
    arrivals: Integers,
    policy: Policy = _DEFAULT_POLICY,
    limit: int = 16,
    seed: int = 0,
    measure: Measure | None = None,
) -> tuple[Candidate, ...]:
    """Return the mappings that serve a pattern of requests fastest, best first; the same for the same seed.

    addresses are bytes, arrivals cycles of the standard. At most 1,000 mappings are estimated on 16,384
    requests (more where the queues hold more than a quarter of that), then the best `limit` of them and the
    standard's own are simulated on at most SIMULATED requests, or handed to `measure`: some seconds in all.
    Ranked as `rank_candidates` says. Raises HanokError for an empty or inconsistent pattern.
    """
    _check(standard, channels, writes, addresses, arrivals, limit)
    own = parse_mapping(standard.mapping, standard, channels)
    generator = np.random.default_rng(seed)
    units = channels * standard.organisation.pseudo_channels
    pattern = cut_pattern(writes, addresses, units, policy, float(generator.random()))
    space = _Space(standard, policy, pattern, own)
    space.estimate(own)
    for name in PRESETS:
        space.estimate(parse_mapping(name, standard, channels))
    _explore(space, generator)
    part = sample_requests(Requests(writes, addresses, arrivals), SIMULATED)
    if measure is None:
        measure = _simulator(standard, channels, policy, part)
    scale = len(part.addresses) / pattern.count
    found = []
    for mapping in dict.fromkeys((own, *space.best(limit))):
        text = str(mapping)
        cycles, latency = measure(text)
        estimated = space.estimate(mapping) * scale
        found.append(Candidate(text, cycles, latency, estimated, len(part.addresses)))
    return rank_candidates(found)


def rank_candidates(found: list[Candidate]) -> tuple[Candidate, ...]:
    """Sort by cycles, then by latency; of those that are as good as the best, the shortest comes first."""
    cycles = NEAR_CYCLES * min(one.cycles for one in found)
    latency = NEAR_LATENCY * min(one.latency_cycles for one in found if one.cycles <= cycles)

    def order(one: Candidate) -> tuple[bool, int, int, float, str]:
        near = one.cycles <= cycles and one.latency_cycles <= latency
        return not near, len(one.text.split()) if near else 0, one.cycles, one.latency_cycles, one.text

    return tuple(sorted(found, key=order))


def sample_requests(requests: Requests, count: int) -> Requests:
    """Return at most `count` requests in BLOCKS runs, spread evenly, each arriving after the one before."""
    total = len(requests.addresses)
    if total <= count:
        return requests
    size = count // BLOCKS
    writes, addresses, arrivals = [], [], []
    now = int(requests.arrivals[0])
    for start in np.linspace(0, total - size, BLOCKS).astype(np.int64).tolist():
        block = slice(start, start + size)
        times = requests.arrivals[block]
        arrivals.append(times - times.min() + now)
        now = int(arrivals[-1].max())
        writes.append(requests.writes[block])
        addresses.append(requests.addresses[block])
    return Requests(np.concatenate(writes), np.concatenate(addresses), np.concatenate(arrivals))


class _Space:
    """The mappings tried so far, with their estimates, and what is known of the pattern's address bits."""

    def __init__(self, standard: Standard, policy: Policy, pattern: Pattern, own: Mapping) -> None:
        self.standard = standard
        self.policy = policy
        self.pattern = pattern
        self.costs: Costs = costs_of(standard)
        self.estimates: dict[Mapping, float] = {}
        self.widths = {field: own.width(field) for field in FIELDS}
        self.balance, self.flips = _activity(pattern, own.burst_bits, own.address_bits)
        units = 1 << self.widths["channel"] + self.widths["pseudo"]
        self.ideal = pattern.count * self.costs.burst / units

    def estimate(self, mapping: Mapping) -> float:
        """Return the estimated cycles of `mapping`, from memory where it has been tried."""
        if mapping not in self.estimates:
            self.estimates[mapping] = estimate_cycles(
                mapping, self.standard, self.costs, self.policy, self.pattern
            )
        return self.estimates[mapping]

    def try_letters(self, letters: str, hashes: frozenset[Hash]) -> tuple[float, Mapping]:
        """Estimate the mapping of `letters`, highest bit first, with `hashes`."""
        mapping = compose_mapping(letters, hashes, self.standard)
        return self.estimate(mapping), mapping

    def ranked(self) -> list[Mapping]:
        """Return all mappings tried, best first; of equals, the shortest."""
        return sorted(
            self.estimates, key=lambda one: (round(self.estimates[one], 6), len(str(one)), str(one))
        )

    def best(self, limit: int) -> list[Mapping]:
        """Return the best mappings, at most TIES of one estimate: they would behave alike."""
        seen: Counter[float] = Counter()
        chosen = []
        for mapping in self.ranked():
            seen[round(self.estimates[mapping], 6)] += 1
            if seen[round(self.estimates[mapping], 6)] <= TIES:
                chosen.append(mapping)
        return chosen[:limit]


def _explore(space: _Space, generator: np.random.Generator) -> None:
    """Try templates, then the best of them with hashes, then climb from the best of those."""
    for letters in dict.fromkeys(_templates(space)):
        space.try_letters(letters, frozenset())
    for mapping in space.ranked()[:HASHED]:
        for fields in (("bank", "group"), ("bank", "group", "pseudo", "channel", "rank")):
            space.try_letters(mapping.letters, _row_hashes(space, mapping.letters, fields))
    for mapping in space.ranked()[:CLIMBS]:
        _climb(space, mapping, generator)


def _templates(space: _Space) -> Iterator[str]:
    """Yield letters that give the busiest address bits to fields in many orders; rows take what is left."""
    bits = len(space.balance)
    by_balance = np.lexsort((np.arange(bits), -space.balance))
    by_flips = np.lexsort((np.arange(bits), -space.flips))
    for order, first, columns, rest in product(
        (by_balance, by_flips), permutations("GPH"), range(4), _REST_ORDERS
    ):
        left = {letter: space.widths[field] for letter, field in LETTERS.items()}
        wanted = [("C", columns), *((letter, 1 if letter == "G" else 8) for letter in first)]
        wanted += [(letter, bits) for letter in f"{rest}R"]
        string = ""
        for letter, count in wanted:
            taken = min(count, left[letter])
            string += letter * taken
            left[letter] -= taken
        letters = [""] * bits
        for position, letter in zip(order.tolist(), string, strict=True):
            letters[bits - 1 - position] = letter
        yield "".join(letters)


def _row_hashes(space: _Space, letters: str, fields: tuple[str, ...]) -> frozenset[Hash]:
    """Return hashes of each bit of `fields` by a row bit of its own, the busiest row bits first."""
    rows = [bit for bit, letter in enumerate(reversed(letters)) if letter == "R"]
    order = sorted(range(len(rows)), key=lambda number: (-space.balance[rows[number]], number))
    busy = [number for number in order if space.balance[rows[number]] > 0]
    targets = [(field, bit) for field in fields for bit in range(space.widths[field])]
    return frozenset(
        Hash(field, bit, "row", source) for (field, bit), source in zip(targets, busy, strict=False)
    )


def _climb(space: _Space, start: Mapping, generator: np.random.Generator) -> None:
    """Change one thing after another at random and keep what is better, until it is ideal or no more is."""
    cost, mapping = space.estimate(start), start
    since = 0
    for _ in range(STEPS):
        if cost <= 1.005 * space.ideal or since == PATIENCE:
            return
        since += 1
        tried = _step(space, mapping, generator)
        if tried is not None and tried[0] < WORTH * cost:
            (cost, mapping), since = tried, 0


def _step(space: _Space, mapping: Mapping, generator: np.random.Generator) -> tuple[float, Mapping] | None:
    """Try one random change to `mapping`; None where it changes nothing."""
    bits = len(mapping.letters)
    busy = np.flatnonzero(space.balance > 0)
    here = int(generator.choice(busy)) if len(busy) else 0
    letters = list(mapping.letters)
    hashes = set(mapping.hashes)
    if generator.random() < 0.5:
        other = int(generator.integers(bits))
        letters[bits - 1 - here], letters[bits - 1 - other] = (
            letters[bits - 1 - other],
            letters[bits - 1 - here],
        )
    else:
        targets = [(f, bit) for f in FIELDS if f not in ("row", "column") for bit in range(space.widths[f])]
        source = LETTERS[letters[bits - 1 - here]]
        if source not in ("row", "column") or not targets:
            return None
        field, bit = targets[int(generator.integers(len(targets)))]
        owned = letters[bits - here :].count(_NAMES[source])
        hashes ^= {Hash(field, bit, source, owned)}
    if "".join(letters) == mapping.letters and hashes == set(mapping.hashes):
        return None
    return space.try_letters("".join(letters), frozenset(hashes))


def _activity(pattern: Pattern, low: int, high: int) -> tuple[Floats, Floats]:
    """Return how evenly each address bit is 0 and 1 within windows, and how often it changes: 0..1."""
    counts = np.bincount(pattern.windows)
    used = counts > 0
    balance, flips = np.zeros(high - low), np.zeros(high - low)
    for bit in range(low, high):
        values = pattern.addresses >> bit & 1
        share = np.bincount(pattern.windows, values)[used] / counts[used]
        balance[bit - low] = np.mean(2 * np.minimum(share, 1 - share))
        flips[bit - low] = np.mean(np.diff(values) != 0) if len(values) > 1 else 0
    return balance, flips


def _simulator(standard: Standard, channels: int, policy: Policy, part: Requests) -> Measure:
    """Return a measure that runs `part` through the memory controller."""

    def measure(text: str) -> tuple[int, float]:
        run = run_requests(
            standard,
            part.writes,
            part.addresses,
            part.arrivals,
            channels=channels,
            policy=policy,
            mapping=text,
        )
        return run.cycles, float(np.mean(run.completed - run.arrivals))

    return measure


def _check(
    standard: Standard,
    channels: int,
    writes: NDArray[np.bool_],
    addresses: Integers,
    arrivals: Integers,
    limit: int,
) -> None:
    """Raise HanokError for a pattern that cannot be simulated."""
    sizes = {len(writes), len(addresses), len(arrivals)}
    if len(sizes) > 1:
        raise HanokError(
            f"mapping search: {len(writes)} writes, {len(addresses)} addresses and {len(arrivals)} arrivals; "
            "allowed: one of each for each request"
        )
    if not len(addresses):
        raise HanokError("mapping search: there are no requests; give the pattern that the mapping is for")
    end = standard.channel_bytes * channels
    if addresses.min() < 0 or addresses.max() >= end:
        wrong = int(addresses.min() if addresses.min() < 0 else addresses.max())
        raise HanokError(f"mapping search: address {wrong} is outside the memory; allowed: 0..{end - 1}")
    if limit < 1:
        raise HanokError(f"mapping search: limit is {limit}; allowed: 1 or more simulated candidates")
