"""CXXRTL's registers in two structures, the state and the one that follows, so that a commit is a copy."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REGISTER = re.compile(r"^\twire<(\d+)> (\w+);\n", re.MULTILINE)
"""A register that is no port: harnesses know ports as wires."""
_SIDE = re.compile(r"\b(\w+)\.(curr|next)\b")
_COMMIT = re.compile(
    r"\ttemplate<class ObserverT>\n\tbool commit\(ObserverT &observer\) \{\n\t\tbool changed = false;\n"
    r"(.*?)\t\treturn changed;\n\t\}\n\n\tbool commit\(\) override \{\n.*?\n\t\}\n",
    re.DOTALL,
)
_COMMITTED = re.compile(r"\t\tif \((\w+)\.commit\(observer\)\) changed = true;\n")
_CONSTRUCTOR = "\tp_top() {\n\t\treset();\n\t};\n"
_OPENING = "struct p_top : public module {\n"
_RESET = re.compile(r"\t(\w+) = wire<\d+>\{([^}]*)\};\n")
_RESETS = re.compile(r"^void p_top::reset\(\) \{\n(.*?)^\}\n", re.DOTALL | re.MULTILINE)
_BODIES = """\
void p_top::reset() {{
	state = registers {{}};
{resets}	following = state;
}}

p_top::p_top() {{
	reset();
}}

bool p_top::commit() {{
	observer observer;
	bool changed = std::memcmp(&state, &following, sizeof state) != 0;
	state = following;
{others}	return changed;
}}
"""


@dataclass(frozen=True)
class Registers:
    """The registers of a design, by the names of their variables; the values are their bits."""

    bits: dict[str, int]

    def in_state(self, text: str) -> str:
        """Return statements with the registers where they are now."""
        sides = {"curr": "state", "next": "following"}
        return _SIDE.sub(
            lambda found: f"{sides[found[2]]}.{found[1]}" if found[1] in self.bits else found[0], text
        )

    def reset(self, statements: str) -> str:
        """Return CXXRTL's reset without the registers that become 0, as all do before it."""

        def changed(found: re.Match[str]) -> str:
            if found[1] not in self.bits:
                return found[0]
            return "".join(
                f"\tstate.{found[1]}.data[{chunk}] = {value};\n"
                for chunk, value in enumerate(found[2].split(","))
                if value.strip(" 0xu")
            )

        return _RESET.sub(changed, statements)


def join_registers(header: str, source: str) -> tuple[str, str, Registers]:
    """Return CXXRTL's header and source with the registers in `state` and `following`, and which those are.

    The source's statements outside of `reset` are as they were.
    """
    registers = Registers({found[2]: int(found[1]) for found in _REGISTER.finditer(header)})
    commit, reset = _COMMIT.search(header), _RESETS.search(source)
    assert commit is not None, "CXXRTL's header has a commit"
    assert reset is not None, "CXXRTL's source has a reset"
    assert _CONSTRUCTOR in header, "CXXRTL's header has a constructor"
    others = _COMMITTED.sub(lambda found: "" if found[1] in registers.bits else found[0][1:], commit[1])
    members = "".join(f"\t\tvalue<{bits}> {name};\n" for name, bits in registers.bits.items())
    header = _REGISTER.sub("", header.replace(commit[0], "\tbool commit() override;\n"))
    header = header.replace(_CONSTRUCTOR, "\tp_top();\n")
    header = header.replace(_OPENING, f"{_OPENING}\tstruct registers {{\n{members}\t}} state, following;\n")
    bodies = _BODIES.format(resets=registers.reset(reset[1]), others=others)
    return "#include <cstring>\n" + header, source.replace(reset[0], bodies), registers
