"""From the lines of a formula to chains: which lines one CHAIN makes, and which values lie in SRAM between.

A chain begins with a value that lies in SRAM and makes one line after the other on its running value. It ends
where the value is needed more than once, where the next line needs more than two other operands from SRAM,
or where its eight steps are used up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hanok.compiler.packed_chains import Held, PackedChain, PackedFormula, PackedStep, live_values
from hanok.isa import VECTOR_STEPS, Operand, Reduction, Step
from hanok.numerics.formula import FOLDS, Action, Formula, Line, Ref

_PLAIN = {
    Action.ADD: Step.ADD,
    Action.SUB: Step.SUB,
    Action.MUL: Step.MUL,
    Action.DIV: Step.DIV,
    Action.MAX: Step.MAX,
    Action.MIN: Step.MIN,
    Action.GREATER: Step.GREATER,
    Action.TAKE: Step.TAKE,
}
_TURNED = {
    Action.ADD: Step.ADD,
    Action.MUL: Step.MUL,
    Action.SUB: Step.REVERSE_SUB,
    Action.DIV: Step.REVERSE_DIV,
}
"""Steps for lines whose second operand is the running value."""
_FOLDS = {Action.SUM: Reduction.SUM, Action.LARGEST: Reduction.MAX, Action.LEAST: Reduction.MIN}
_MOST_STREAMS = 2
_MOST_TRIED = 400
"""Ways to go on that are tried for a chain, before the best one so far is taken."""


@dataclass(frozen=True)
class _State:
    """A chain under construction: the lines that it has made, its running and its saved value."""

    chain: PackedChain
    made: tuple[int, ...]
    value: int
    saved: int = -1


def pack_formula(formula: Formula, row_inputs: Sequence[bool], result: int) -> PackedFormula:
    """Pack one formula; `row_inputs` are the inputs that have one value a row."""
    packer = ChainPacker(formula, row_inputs, [result])
    chains = packer.pack()
    live = live_values(chains, packer.rowwise, result)
    return PackedFormula(tuple(chains), tuple(packer.rowwise), tuple(live))


class ChainPacker:
    """Packs one formula; `row_inputs` are the inputs that have one value a row.

    `results`: the values that must be in SRAM in the end.
    """

    def __init__(self, formula: Formula, row_inputs: Sequence[bool], results: Sequence[int]) -> None:
        self.formula = replace(formula, lines=list(formula.lines))
        self.results = frozenset(results)
        self.rowwise = _rowwise_values(formula, row_inputs)
        self.needed = _needed_lines(formula, results)
        self.readers = self._readers()
        self.held = set(range(formula.inputs))
        self.done: set[int] = set()

    def pack(self) -> list[PackedChain]:
        """Return the chains in order."""
        chains = []
        while len(self.done) < len(self.needed):
            state = self._longest()
            self.done.update(state.made)
            self.held.add(state.chain.result)
            self._take_aliases()
            chains.append(state.chain)
        return chains

    def _readers(self) -> dict[int, list[int]]:
        """The needed lines that read each value."""
        found: dict[int, list[int]] = {}
        for number in self.needed:
            for operand in dict.fromkeys(self._line(number).operands):
                if isinstance(operand, Ref):
                    found.setdefault(operand.number, []).append(number)
        return found

    def _line(self, number: int) -> Line:
        return self.formula.lines[number - self.formula.inputs]

    def _take_aliases(self) -> None:
        """A BITS of a held value lies in SRAM already: it is only read in another way."""
        for number in self.needed:
            line = self._line(number)
            source = line.operands[0]
            if line.action is Action.BITS and isinstance(source, Ref) and source.number in self.held:
                self.done.add(number)
                self.held.add(number)

    def _held(self, number: int) -> Held:
        if number >= self.formula.inputs and self._line(number).action is Action.BITS:
            source = self._line(number).operands[0]
            assert isinstance(source, Ref), "bits of an immediate are an immediate"
            return Held(source.number, as_bits=True)
        return Held(number)

    def _longest(self) -> _State:
        """The chain that makes the most lines, of those that begin with the first line that can be made."""
        self._take_aliases()
        for first in self.needed:
            if first in self.done:
                continue
            if not self._may_start(first):
                continue
            self._tried = 0
            ends = [end for start in self._starts(first) for end in self._ends(start)]
            if ends:
                return max(ends, key=lambda end: (len(end.made), -len(end.chain.steps)))
            self._copy_operand(first)
            return self._longest()
        raise AssertionError("a formula whose lines wait for each other")

    def _may_start(self, number: int) -> bool:
        refs = [operand.number for operand in self._line(number).operands if isinstance(operand, Ref)]
        return all(ref in self.held for ref in refs)

    def _copy_operand(self, number: int) -> None:
        """Give a line that reads one place twice a copy of its last operand."""
        line = self._line(number)
        operands = list(line.operands)
        place = max(at for at, operand in enumerate(operands) if isinstance(operand, Ref))
        source = operands[place]
        assert isinstance(source, Ref), "a line without values is an immediate"
        self.formula.lines.append(Line(Action.MUL, (source, 1.0)))
        copied = self.formula.inputs + len(self.formula.lines) - 1
        self.rowwise.append(self.rowwise[source.number])
        operands[place] = Ref(copied)
        self.formula.lines[number - self.formula.inputs] = replace(line, operands=tuple(operands))
        self.needed.insert(self.needed.index(number), copied)
        self.readers = self._readers()

    # Beginning

    def _starts(self, number: int) -> Iterator[_State]:
        """Chains that hold nothing but their first value, for each operand of a line that may be it."""
        line = self._line(number)
        refs = [operand.number for operand in line.operands if isinstance(operand, Ref)]
        if line.action is Action.SELECT:
            yield from self._selection(number, line)
            return
        for place in dict.fromkeys(refs):
            rowwise = self.rowwise[number] and line.action not in FOLDS
            chain = PackedChain(self._held(place), (), (), place, rowwise=rowwise)
            yield from self._with(_State(chain, (), place), number)

    def _selection(self, number: int, line: Line) -> Iterator[_State]:
        """SELECT begins with what it takes for zero, saves it, and takes the condition from SRAM."""
        condition, chosen, other = line.operands
        assert isinstance(other, Ref), "what SELECT takes for zero is a value"
        chain = PackedChain(self._held(other.number), (), (PackedStep(Step.SAVE),), number)
        chain = replace(chain, rowwise=self.rowwise[number])
        for operand, step in ((condition, Step.TAKE), (chosen, Step.SELECT)):
            found = self._operand(chain, operand, -1, other.number)
            if found is None:
                return
            chain, code, immediate = found
            chain = replace(chain, steps=(*chain.steps, PackedStep(step, code, immediate)))
        yield _State(chain, (number,), number)

    # Going on

    def _ends(self, state: _State) -> Iterator[_State]:
        """Every way to end a chain after this state."""
        self._tried += 1
        if self._may_end(state):
            yield state
        if self._tried > _MOST_TRIED or state.chain.folded is not Reduction.NONE or state.chain.to_bits:
            return
        for reader in self.readers.get(state.value, []):
            if reader in self.done or reader in state.made:
                continue
            for following in (*self._with(state, reader), *self._beside(state, reader)):
                yield from self._ends(following)

    def _beside(self, state: _State, reader: int) -> Iterator[_State]:
        """The state after a line whose other operand is made first, of values in SRAM, in the same chain.

        The running value is saved for it.
        """
        path = self._path_to(state, reader)
        if not path or not (state.saved < 0 or self._used_up(state, reader)):
            return
        for place in dict.fromkeys(o.number for o in self._line(path[0]).operands if isinstance(o, Ref)):
            found = self._operand(state.chain, Ref(place), state.value, -1)
            if found is None:
                continue
            steps = (*found[0].steps, PackedStep(Step.SAVE), PackedStep(Step.TAKE, *found[1:]))
            states = [replace(state, chain=replace(found[0], steps=steps), value=place, saved=state.value)]
            for number in (*path, reader):
                states = [after for one in states for after in self._made(one, number, self._line(number))]
            yield from states

    def _path_to(self, state: _State, reader: int) -> list[int]:
        """Lines that make the other operand of a line one after the other, the first of values in SRAM."""
        path: list[int] = []
        number = reader
        while not path or not self._may_start(number):
            operands = [o.number for o in self._line(number).operands if isinstance(o, Ref)]
            missing = {o for o in operands if o != state.value and o not in self.held}
            if len(missing) != 1:
                return []
            (number,) = missing
            ends = self._line(number).action in (*FOLDS, Action.FROM_BITS)
            if ends or self.rowwise[number] != state.chain.rowwise:
                return []
            path.insert(0, number)
        return path

    def _may_end(self, state: _State) -> bool:
        """Whether every value that the chain does not leave in SRAM has been used up."""
        made = set(state.made)
        inner = made - {state.value}
        return bool(made) and all(
            value not in self.results and all(reader in made for reader in self.readers.get(value, []))
            for value in inner
        )

    def _with(self, state: _State, number: int) -> Iterator[_State]:
        """The state after one more line, if it fits; where needed the running value is saved first."""
        line, chain = self._line(number), state.chain
        if self.rowwise[number] != chain.rowwise and line.action not in FOLDS:
            return
        if line.action in FOLDS and chain.rowwise:
            return
        yield from self._made(state, number, line)
        free = state.saved < 0 or self._used_up(state, number)
        if free and state.value != state.saved:
            saved = replace(chain, steps=(*chain.steps, PackedStep(Step.SAVE)))
            yield from self._made(replace(state, chain=saved, saved=state.value), number, line)

    def _used_up(self, state: _State, number: int) -> bool:
        """Whether the saved value is needed no more, or lies in SRAM."""
        readers = self.readers.get(state.saved, [])
        return all(reader in state.made for reader in readers) and number not in readers

    def _made(self, state: _State, number: int, line: Line) -> Iterator[_State]:
        chain = state.chain
        match line.action:
            case Action.ROUND:
                if chain.bounds in (None, line.bounds):
                    step = PackedStep(Step.ROUND)
                    yield from self._next(state, replace(chain, bounds=line.bounds), number, step)
            case Action.LOOKUP:
                if chain.table in (-1, line.table):
                    step = PackedStep(Step.LOOKUP)
                    yield from self._next(state, replace(chain, table=line.table), number, step)
            case Action.BITS:
                return
            case Action.FROM_BITS:
                yield from self._next(state, replace(chain, to_bits=True), number, None)
            case Action.FUSED:
                added = line.operands[2]
                found = self._operand(chain, line.operands[0], state.value, state.saved)
                if line.operands[0] == Ref(state.value) == Ref(state.saved) and added != Ref(state.value):
                    factor = line.operands[1]
                    assert isinstance(factor, float), "a fused factor is an immediate"
                    step = PackedStep(Step.FUSED_ADD, Operand.SAVED, factor)
                    yield from self._after_taking(state, number, added, step)
                if added == Ref(state.value) and found is not None and found[1] is not Operand.IMMEDIATE:
                    factor = line.operands[1]
                    assert isinstance(factor, float), "a fused factor is an immediate"
                    yield from self._next(
                        state, found[0], number, PackedStep(Step.FUSED_ADD, found[1], factor)
                    )
            case Action.SELECT:
                condition, chosen, other = line.operands
                found = self._operand(chain, chosen, state.value, state.saved)
                saved = isinstance(other, Ref) and other.number == state.saved
                if condition == Ref(state.value) and saved and found is not None:
                    yield from self._next(state, found[0], number, PackedStep(Step.SELECT, *found[1:]))
            case action if action in FOLDS:
                yield from self._next(state, replace(chain, folded=_FOLDS[action]), number, None)
            case _:
                yield from self._joined(state, number, line)

    def _joined(self, state: _State, number: int, line: Line) -> Iterator[_State]:
        for codes, mine, other in ((_PLAIN, 0, 1), (_TURNED, 1, 0)):
            if line.operands[mine] != Ref(state.value) or line.action not in codes:
                continue
            found = self._operand(state.chain, line.operands[other], state.value, state.saved)
            if found is not None:
                yield from self._next(state, found[0], number, PackedStep(codes[line.action], *found[1:]))
                return
        if line.operands[-1] == Ref(state.value) == Ref(state.saved) and line.action not in _TURNED:
            yield from self._after_taking(
                state, number, line.operands[0], PackedStep(_PLAIN[line.action], Operand.SAVED)
            )

    def _after_taking(
        self, state: _State, number: int, operand: Ref | float, step: PackedStep
    ) -> Iterator[_State]:
        """Take another value for the running one, which is saved, and make a step of both."""
        found = self._operand(state.chain, operand, state.value, -1)
        if found is not None:
            chain = replace(found[0], steps=(*found[0].steps, PackedStep(Step.TAKE, *found[1:])))
            yield from self._next(state, chain, number, step)

    def _next(
        self, state: _State, chain: PackedChain, number: int, step: PackedStep | None
    ) -> Iterator[_State]:
        steps = chain.steps if step is None else (*chain.steps, step)
        if len(steps) <= VECTOR_STEPS:
            chain = replace(chain, steps=steps, result=number)
            yield replace(state, chain=chain, made=(*state.made, number), value=number)

    def _operand(
        self, chain: PackedChain, operand: Ref | float, value: int, saved: int
    ) -> tuple[PackedChain, Operand, float] | None:
        """How a step names an operand: immediate, saved, or a stream from SRAM; None if it cannot."""
        if not isinstance(operand, Ref):
            return chain, Operand.IMMEDIATE, operand
        if operand.number == saved:
            return chain, Operand.SAVED, 0.0
        if operand.number == value or operand.number not in self.held:
            return None
        held = self._held(operand.number)
        if held in chain.streams:
            return chain, Operand(1 + chain.streams.index(held)), 0.0
        taken = {known.number for known in (chain.start, *chain.streams)}
        if len(chain.streams) == _MOST_STREAMS or held.number in taken:
            return None
        return replace(chain, streams=(*chain.streams, held)), Operand(1 + len(chain.streams)), 0.0


def _rowwise_values(formula: Formula, row_inputs: Sequence[bool]) -> list[bool]:
    """Whether each value is one a row: a fold, or made of such values alone."""
    found = list(row_inputs)
    for line in formula.lines:
        refs = [operand.number for operand in line.operands if isinstance(operand, Ref)]
        found.append(line.action in FOLDS or all(found[number] for number in refs))
    return found


def _needed_lines(formula: Formula, results: Sequence[int]) -> list[int]:
    """The lines on which results depend, in order."""
    needed = set(results)
    for number in reversed(range(formula.inputs, formula.inputs + len(formula.lines))):
        if number in needed:
            operands = formula.lines[number - formula.inputs].operands
            needed.update(operand.number for operand in operands if isinstance(operand, Ref))
    return sorted(number for number in needed if number >= formula.inputs)
