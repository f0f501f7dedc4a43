"""The C++ around a translated design: a function that clocks it through arrays of inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanok.rtl.build import Port

_TEXT = """\
#include "design.h"
#include <cstdint>
using namespace cxxrtl;

template<size_t bits> static void put(value<bits> &port, const uint64_t *words) {{
  for (size_t chunk = 0; chunk < value<bits>::chunks; chunk++)
    port.data[chunk] = uint32_t(words[chunk / 2] >> (chunk % 2 * 32));
  port.data[value<bits>::chunks - 1] &= value<bits>::msb_mask;
}}
template<size_t bits> static void get(const value<bits> &port, uint64_t *words) {{
  for (size_t word = 0; word < (bits + 63) / 64; word++) words[word] = 0;
  for (size_t chunk = 0; chunk < value<bits>::chunks; chunk++)
    words[chunk / 2] |= uint64_t(port.data[chunk]) << (chunk % 2 * 32);
}}
template<size_t bits> static void get(const wire<bits> &port, uint64_t *words) {{ get(port.curr, words); }}

struct top : design::p_top {{
  int cycle(const uint64_t *in, uint64_t *out) {{
{inputs}
    p_clk = value<1>{{1u}};
    prev_p_clk = value<1>{{0u}};
    bool settled = eval();
{outputs}
    commit();
    return settled;
  }}
}};

extern "C" {{
void *create() {{ return new top(); }}
void destroy(void *design) {{ delete static_cast<top *>(design); }}
int64_t run(void *design, int64_t cycles, const uint64_t *in, int64_t in_step,
            uint64_t *out, int64_t out_step) {{
  for (int64_t cycle = 0; cycle < cycles; cycle++)
    if (!static_cast<top *>(design)->cycle(in + cycle * in_step, out + cycle * out_step)) return cycle;
  return cycles;
}}
int64_t run_until(void *design, int64_t cycles, const uint64_t *in, uint64_t *out, int64_t word) {{
  for (int64_t cycle = 0; cycle < cycles; cycle++) {{
    if (!static_cast<top *>(design)->cycle(in, out)) return -1;
    if (out[word]) return cycle + 1;
  }}
  return cycles;
}}
}}
"""


def harness(inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """Return the driver of a design with these ports, beside its clock and reset.

    One evaluation is one cycle: the clock's edge is put before the design, outputs are taken before the new
    state is committed, so they belong to the inputs of the same cycle.
    """
    lines: dict[bool, list[str]] = {True: ["    put(p_rst, in);"], False: []}
    for ports in (inputs, outputs):
        at = 1 if ports is inputs else 0
        for port in ports:
            name = "p_" + port.name.replace("_", "__")
            verb, array = ("put", "in") if port.is_input else ("get", "out")
            lines[port.is_input].append(f"    {verb}({name}, {array} + {at});")
            at += port.words
    return _TEXT.format(inputs="\n".join(lines[True]), outputs="\n".join(lines[False]))
