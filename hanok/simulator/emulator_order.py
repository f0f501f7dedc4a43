"""The order in which a core may execute a program: units in order, semaphores honoured, queues bounded."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import numpy.typing as npt

from hanok.errors import VerifyError
from hanok.isa import Decoded, Opcode, Unit
from hanok.machine import Control

UNITS = len(Unit)


def execution_order(decoded: Decoded, control: Control, order: str = "program") -> npt.NDArray[np.int64]:
    """Return the dispatch indices in a legal order of execution.

    `order`: "program" takes the earliest dispatched instruction that may run;
    "eager:store,vector,matrix,load" the first unit in the list that may run; "random:7" any unit, seeded.
    Raises VerifyError at a deadlock.
    """
    if order == "program" and _dispatch_order_is_legal(decoded, control):
        return np.arange(len(decoded))
    return _Interleaving(decoded, control, order).run()


def _dispatch_order_is_legal(decoded: Decoded, control: Control) -> bool:
    """Whether one instruction after the other finds its waits available and its posts not full."""
    for poster in Unit:
        for waiter in Unit:
            posts = (decoded.unit == poster) & ((decoded.post >> waiter) & 1 == 1)
            waits = (decoded.unit == waiter) & ((decoded.wait >> poster) & 1 == 1)
            if not posts.any() and not waits.any():
                continue
            after_wait = np.cumsum(posts) - posts - np.cumsum(waits)
            if np.any(after_wait < 0) or np.any(after_wait + posts > control.semaphore_limit):
                return False
    return True


class _Interleaving:
    """A core without time: queues, counters and posts that still have to be made."""

    def __init__(self, decoded: Decoded, control: Control, order: str) -> None:
        self.decoded = decoded
        self.control = control
        self.unit = decoded.unit.tolist()
        self.wait = decoded.wait.tolist()
        self.post = decoded.post.tolist()
        self.dispatched = 0
        self.queues: list[deque[int]] = [deque() for _ in range(UNITS)]
        self.counters = [[0] * UNITS for _ in range(UNITS)]
        self.unposted = [0] * UNITS
        self.random, self.priority = _policy(order)

    def run(self) -> npt.NDArray[np.int64]:
        """Execute until every instruction has run and posted."""
        order: list[int] = []
        while len(order) < len(self.unit) or any(self.unposted):
            moved = self._dispatch() | self._make_posts()
            ready = [unit for unit in range(UNITS) if self._may_run(unit)]
            if ready:
                order.append(self._execute(self._choose(ready)))
            elif not moved:
                raise VerifyError(self._deadlock())
        return np.array(order, np.int64)

    def _dispatch(self) -> bool:
        before = self.dispatched
        while self.dispatched < len(self.unit):
            queue = self.queues[self.unit[self.dispatched]]
            if len(queue) >= self.control.queue_depth:
                break
            queue.append(self.dispatched)
            self.dispatched += 1
        return self.dispatched > before

    def _make_posts(self) -> bool:
        moved = False
        for unit in range(UNITS):
            for target in range(UNITS):
                bit = 1 << target
                if self.unposted[unit] & bit and self.counters[unit][target] < self.control.semaphore_limit:
                    self.counters[unit][target] += 1
                    self.unposted[unit] &= ~bit
                    moved = True
        return moved

    def _may_run(self, unit: int) -> bool:
        if not self.queues[unit] or self.unposted[unit]:
            return False
        mask = self.wait[self.queues[unit][0]]
        return all(self.counters[source][unit] for source in range(UNITS) if mask >> source & 1)

    def _choose(self, ready: list[int]) -> int:
        if self.random is not None:
            return self.random.choice(ready)
        if self.priority:
            return min(ready, key=self.priority.index)
        return min(ready, key=lambda unit: self.queues[unit][0])

    def _execute(self, unit: int) -> int:
        index = self.queues[unit].popleft()
        for source in range(UNITS):
            self.counters[source][unit] -= self.wait[index] >> source & 1
        self.unposted[unit] = self.post[index]
        self._make_posts()
        return index

    def _deadlock(self) -> str:
        waiting = []
        for unit in Unit:
            queue, unposted = self.queues[unit], self.unposted[unit]
            if unposted:
                full = ", ".join(target.name.lower() for target in Unit if unposted >> target & 1)
                waiting.append(f"{unit.name.lower()} cannot post to the full counter of {full}")
            elif queue:
                mask = self.wait[queue[0]]
                empty = [s.name.lower() for s in Unit if mask >> s & 1 and not self.counters[s][unit]]
                name = Opcode(int(self.decoded.opcode[queue[0]])).name
                waiting.append(f"instruction {queue[0]} ({name}) waits for {', '.join(empty)}")
        return f"deadlock: {'; '.join(waiting)}; every wait needs a post that can still come"


def _policy(order: str) -> tuple[random.Random | None, list[int]]:
    kind, _, argument = order.partition(":")
    if kind == "program" and not argument:
        return None, []
    if kind == "random" and argument.isdecimal():
        return random.Random(int(argument)), []
    names = [unit.name.lower() for unit in Unit]
    if kind == "eager" and sorted(argument.split(",")) == sorted(names):
        return None, [names.index(name) for name in argument.split(",")]
    raise ValueError(f"order '{order}'; allowed: program, random:SEED, eager:{','.join(names)} in any order")
