"""The conditions of rules: a small typed language of named quantities, its records and its parser.

    tpp >= 4800 or (for_data_centres and tpp >= 1600 and 1.6 <= density < 5.92)
    destination in {'CN', 'MO'} and not exempt

Numbers are exact decimals. Nothing is ever executed: a text becomes a tree of the records below, within
limits of length, depth and size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from hanok.rules.errors import RulesError
from hanok.rules.exact import exact

MAX_LENGTH = 2000
MAX_DEPTH = 32
MAX_NODES = 300
COMPARISONS = (">=", ">", "<=", "<", "==", "!=")
MIRRORED = {">=": "<=", ">": "<", "<=": ">=", "<": ">", "==": "==", "!=": "!="}
FUNCTIONS = ("min", "max")
RESERVED = frozenset({"and", "or", "not", "in", "yes", "no", *FUNCTIONS})


class Kind(Enum):
    """The type of an expression."""

    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"


@dataclass(frozen=True)
class Number:
    """An exact number."""

    value: Fraction


@dataclass(frozen=True)
class Flag:
    """`yes` or `no`."""

    value: bool


@dataclass(frozen=True)
class Name:
    """A quantity of the pack."""

    name: str


@dataclass(frozen=True)
class Negative:
    """-part"""

    part: Expression


@dataclass(frozen=True)
class Arithmetic:
    """left + right, or with -, * or /"""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """min(...) or max(...) of numbers"""

    function: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Comparison:
    """left operator right, of numbers"""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Member:
    """A choice that is one of some texts"""

    name: Name
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    """not part"""

    part: Expression


@dataclass(frozen=True)
class And:
    """All of the parts"""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """Any of the parts"""

    parts: tuple[Expression, ...]


Expression = Number | Flag | Name | Negative | Arithmetic | Call | Comparison | Member | Not | And | Or

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|'(?P<text>[^'\\\n]*)'|(?P<sign>>=|<=|==|!=|[-+*/<>(){},]))",
    re.ASCII,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def parse(text: str, where: str) -> Expression:
    """Return the tree of a condition or a definition.

    Raises RulesError that begins with `where` and shows the place of the fault.
    """
    if len(text) > MAX_LENGTH:
        raise RulesError(f"{where}: {len(text)} characters; an expression has at most {MAX_LENGTH}")
    parser = _Parser(list(_tokens(text, where)), text, where)
    tree = parser.disjunction()
    if parser.peek().kind != "end":
        raise parser.fault(f"'{parser.peek().text}' is not expected here")
    return tree


def parts_of(tree: Expression) -> tuple[Expression, ...]:
    """The operands of a node, left to right."""
    match tree:
        case Negative(part) | Not(part):
            return (part,)
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return left, right
        case Call(_, parts) | And(parts) | Or(parts):
            return parts
        case Member(name, _):
            return (name,)
    return ()


def names_in(tree: Expression) -> Iterator[str]:
    """The quantities that a tree speaks of, in order, with repetitions."""
    if isinstance(tree, Name):
        yield tree.name
    for part in parts_of(tree):
        yield from names_in(part)


def kind_of(tree: Expression, kinds: Mapping[str, Kind], where: str) -> Kind:
    """Return the type of a tree; raises RulesError for unknown quantities and operands of another type."""
    match tree:
        case Number():
            return Kind.NUMBER
        case Flag():
            return Kind.FLAG
        case Name(name):
            if name not in kinds:
                raise RulesError(
                    f"{where}: '{name}' is not a quantity of this pack; declare [quantity.{name}]"
                )
            return kinds[name]
        case Member(name, _):
            _expect(name, Kind.CHOICE, kinds, where)
            return Kind.FLAG
        case Negative() | Arithmetic() | Call() | Comparison():
            for part in parts_of(tree):
                _expect(part, Kind.NUMBER, kinds, where)
            return Kind.FLAG if isinstance(tree, Comparison) else Kind.NUMBER
        case Not() | And() | Or():
            for part in parts_of(tree):
                _expect(part, Kind.FLAG, kinds, where)
            return Kind.FLAG
    raise AssertionError(f"{tree} is no expression")


def text_of(tree: Expression) -> str:
    """Return a tree as text that parses to it again."""
    match tree:
        case Number(value):
            return _decimal(value)
        case Flag(value):
            return "yes" if value else "no"
        case Name(name):
            return name
        case Negative(part):
            return f"-{_inner(part)}"
        case Not(part):
            return f"not {_inner(part)}"
        case Arithmetic(operator, left, right) | Comparison(operator, left, right):
            return f"{_inner(left)} {operator} {_inner(right)}"
        case Call(function, parts):
            return f"{function}({', '.join(text_of(part) for part in parts)})"
        case Member(name, texts):
            return f"{name.name} in {{{', '.join(repr(text) for text in texts)}}}"
        case And(parts):
            return " and ".join(_inner(part) for part in parts)
        case Or(parts):
            return " or ".join(_inner(part) for part in parts)
    raise AssertionError(f"{tree} is no expression")


def _inner(tree: Expression) -> str:
    return text_of(tree) if isinstance(tree, Number | Flag | Name | Call) else f"({text_of(tree)})"


def _decimal(value: Fraction) -> str:
    """The shortest decimal of a number that was read from one."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        assert places <= 200, f"{value} is not a decimal"
    whole = str((value * 10**places).numerator)
    return whole if not places else f"{whole.zfill(places + 1)[:-places]}.{whole.zfill(places + 1)[-places:]}"


def _expect(tree: Expression, kind: Kind, kinds: Mapping[str, Kind], where: str) -> None:
    found = kind_of(tree, kinds, where)
    if found is not kind:
        raise RulesError(f"{where}: '{text_of(tree)}' is a {found.value} where a {kind.value} must stand")


def _tokens(text: str, where: str) -> Iterator[_Token]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found or found.lastgroup is None:
            rest = text[place:].lstrip()
            raise RulesError(
                f"{where}: '{rest[:12]}' at character {len(text) - len(rest) + 1} is not part of the language"
            )
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        place = found.end()
    yield _Token("end", "the end", len(text))


class _Parser:
    """Recursive descent, a level of binding a method."""

    def __init__(self, tokens: list[_Token], text: str, where: str) -> None:
        self._tokens, self._text, self._where = tokens, text, where
        self._next = self._depth = self._nodes = 0

    def peek(self) -> _Token:
        return self._tokens[self._next]

    def fault(self, what: str) -> RulesError:
        return RulesError(
            f"{self._where}: {what} (character {self.peek().place + 1} of '{self._text[:120]}')"
        )

    def disjunction(self) -> Expression:
        return self._joined("or", Or, lambda: self._joined("and", And, self._negation))

    def _joined(
        self, word: str, join: Callable[[tuple[Expression, ...]], Expression], part: Callable[[], Expression]
    ) -> Expression:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else self._made(join(tuple(parts)))

    def _negation(self) -> Expression:
        if not self._take("not"):
            return self._relation()
        self._enter()
        tree = self._made(Not(self._negation()))
        self._depth -= 1
        return tree

    def _relation(self) -> Expression:
        left = self._sum()
        if self._take("in"):
            return self._member(left)
        links: list[Expression] = []
        while self.peek().text in COMPARISONS and self.peek().kind == "sign":
            operator = self._advance().text
            right = self._sum()
            links.append(self._made(Comparison(operator, left, right)))
            left = right
        if not links:
            return left
        return links[0] if len(links) == 1 else self._made(And(tuple(links)))

    def _member(self, left: Expression) -> Expression:
        if not isinstance(left, Name):
            raise self.fault("before 'in' stands the name of a choice")
        self._need("{")
        texts = [self._choice()]
        while self._take(","):
            texts.append(self._choice())
        self._need("}")
        return self._made(Member(left, tuple(texts)))

    def _sum(self) -> Expression:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), self._signed))

    def _chain(self, operators: tuple[str, ...], part: Callable[[], Expression]) -> Expression:
        tree = part()
        while self.peek().text in operators and self.peek().kind == "sign":
            operator = self._advance().text
            tree = self._made(Arithmetic(operator, tree, part()))
        return tree

    def _signed(self) -> Expression:
        if not self._take("-"):
            return self._atom()
        self._enter()
        tree = self._made(Negative(self._signed()))
        self._depth -= 1
        return tree

    def _atom(self) -> Expression:
        token = self.peek()
        if token.kind == "number":
            return self._number(self._advance().text)
        if self._take("("):
            self._enter()
            tree = self.disjunction()
            self._depth -= 1
            self._need(")")
            return tree
        if token.kind == "name" and token.text in ("yes", "no"):
            return self._made(Flag(self._advance().text == "yes"))
        if token.kind == "name" and token.text in FUNCTIONS:
            return self._call(self._advance().text)
        if token.kind == "name" and token.text not in RESERVED:
            return self._made(Name(self._advance().text))
        raise self.fault(f"{token.text!r} stands where a number, a name or '(' must")

    def _call(self, function: str) -> Expression:
        self._need("(")
        self._enter()
        parts = [self._sum()]
        while self._take(","):
            parts.append(self._sum())
        self._depth -= 1
        self._need(")")
        return self._made(Call(function, tuple(parts)))

    def _number(self, text: str) -> Expression:
        try:
            return self._made(Number(exact(text)))
        except ValueError as error:
            raise self.fault(str(error)) from None

    def _choice(self) -> str:
        if self.peek().kind != "text":
            raise self.fault("a choice stands in single quotes")
        return self._advance().text

    def _advance(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, text: str) -> bool:
        found = self.peek().text == text and self.peek().kind in ("name", "sign")
        self._next += found
        return found

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self.fault(f"'{text}' is missing before '{self.peek().text}'")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.fault(f"nested deeper than {MAX_DEPTH}")

    def _made(self, tree: Expression) -> Expression:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self.fault(f"more than {MAX_NODES} parts; split it into definitions")
        return tree
