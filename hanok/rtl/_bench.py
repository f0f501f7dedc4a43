"""The C++ of the core's testbench: a memory behind its AXI masters, timed by the DRAM kernels."""

from __future__ import annotations

from hanok.isa.table import Unit

KINDS = ("dispatched", "started", "ended")
"""What happens to an instruction, in the order of the core's trace."""
PORTS = ("load", "store", "fetch")
"""In the order in which requests of a cycle reach the memory."""

_TEXT = """\
#include <algorithm>
#include <cstring>
#include <deque>

// What Python gives and gets: the fields of testbench._Bench.
struct Bench {
  int64_t *state;
  int64_t (*request)(int64_t *, int64_t, int64_t, int64_t, int64_t, int64_t);
  int64_t (*advance)(int64_t *, int64_t);
  const int64_t *answers;
  uint8_t *image;
  int64_t image_bytes, ring, period_fs, clock_mhz, latency, most_cycles;
  int64_t *events[KINDS * UNITS];
  int64_t room[UNITS];
  int64_t counts[KINDS * UNITS], cycles, requests[3];
};

namespace {
enum Port { LOAD, STORE, FETCH };
enum Answer { ADMITTED, COMPLETED, ANSWER_SIZE };
const int64_t OKAY = 0, SLAVE_ERROR = 2;

// A transfer of LINE bytes or less: its bursts have the handles from `handle` on.
struct Request { int64_t handle, bursts, address, size, at, id; };
struct Content {
  uint8_t bytes[LINE];
  uint32_t strobes[(LINE + 31) / 32];
  bool has(int64_t byte) const { return strobes[byte / 32] >> byte % 32 & 1; }
};

template<size_t bits> const uint32_t *words_of(const value<bits> &port) { return port.data; }
template<size_t bits> const uint32_t *words_of(const wire<bits> &port) { return port.curr.data; }
template<size_t bits> int64_t number_of(const value<bits> &port) {
  return int64_t(port.data[0] | (bits > 32 ? uint64_t(port.data[(bits - 1) / 32]) << 32 : 0));
}
template<size_t bits> int64_t number_of(const wire<bits> &port) { return number_of(port.curr); }

struct Memory {
  Bench &bench;
  top &design;
  std::deque<Request> open[3];
  std::deque<int64_t> addresses;
  std::deque<Content> contents;
  int64_t shown[3] = {-1, -1, -1};  // place of the answer on each bus
  int64_t cycle = 0;

  Memory(Bench &bench, top &design) : bench(bench), design(design) {}

  int64_t now() const {
    int64_t picoseconds = (cycle * 1000000 + bench.clock_mhz - 1) / bench.clock_mhz;
    return (picoseconds * 1000 + bench.period_fs - 1) / bench.period_fs;
  }
  int64_t core_cycle(int64_t edge) const {
    int64_t picoseconds = (edge * bench.period_fs + 999) / 1000;
    return (picoseconds * bench.clock_mhz + 999999) / 1000000;
  }
  // The bytes of a transfer that lie in the image; an image that ends within one is as if followed by zeros.
  int64_t present(const Request &request) const {
    return std::clamp<int64_t>(bench.image_bytes - request.address, 0, request.size);
  }

  // The memory is asked for the bursts of a transfer, of a write for those of which it has `content`.
  void ask(Port port, int64_t address, int64_t size, int64_t id, const Content *content) {
    int64_t place = bench.requests[port]++ & (bench.ring - 1);
    int64_t first = (port * bench.ring + place) * PARTS, bursts = 0;
    for (int64_t begin = 0; begin < size; begin += BURST) {
      bool wanted = !content;
      for (int64_t byte = begin; byte < begin + BURST && !wanted; byte++) wanted = content->has(byte);
      if (wanted)
        bench.request(bench.state, port, first + bursts++, address + begin, now(), port == STORE);
    }
    open[port].push_back({first, bursts, address, size, cycle, id});
  }
  bool due(Port port, const Request &request) const {
    int64_t edge = 0;
    for (int64_t handle = request.handle; handle < request.handle + request.bursts; handle++) {
      int64_t one = bench.answers[handle * ANSWER_SIZE + (port == STORE ? ADMITTED : COMPLETED)];
      if (one < 0) return false;
      edge = std::max(edge, one);
    }
    return cycle >= (port == STORE ? std::max(core_cycle(edge), request.at)
                                   : std::max(core_cycle(edge) + bench.latency, request.at + 1));
  }
  // Loads may overtake one another: of those that are due, the first. Returns its place, or -1.
  int64_t answered(Port port) const {
    int64_t looked_at = port == LOAD ? open[port].size() : std::min<int64_t>(1, open[port].size());
    for (int64_t place = 0; place < looked_at; place++)
      if (due(port, open[port][place])) return place;
    return -1;
  }
  template<size_t bits> void read(Port port, value<1> &valid, value<bits> &content, value<2> &answer) {
    shown[port] = answered(port);
    valid.data[0] = shown[port] >= 0;
    if (shown[port] < 0) return;
    const Request &request = open[port][shown[port]];
    answer.data[0] = present(request) ? OKAY : SLAVE_ERROR;
    int64_t lane = request.address % int64_t(bits / 8);
    memset(content.data, 0, bits / 8);
    memcpy((uint8_t *)content.data + lane, bench.image + request.address, present(request));
  }
  void before() {
    if (!open[LOAD].empty() || !open[STORE].empty() || !open[FETCH].empty())
      bench.advance(bench.state, now());
    read(LOAD, design.p_load____rvalid, design.p_load____rdata, design.p_load____rresp);
    if (shown[LOAD] >= 0) design.p_load____rid.data[0] = uint32_t(open[LOAD][shown[LOAD]].id);
    read(FETCH, design.p_fetch____rvalid, design.p_fetch____rdata, design.p_fetch____rresp);
    shown[STORE] = answered(STORE);
    design.p_store____bvalid.data[0] = shown[STORE] >= 0;
    if (shown[STORE] >= 0)
      design.p_store____bresp.data[0] = present(open[STORE].front()) ? OKAY : SLAVE_ERROR;
  }
  void after() {
    for (Port port : {LOAD, STORE, FETCH})
      if (shown[port] >= 0) open[port].erase(open[port].begin() + shown[port]);
    if (number_of(design.p_load____arvalid))
      ask(LOAD, number_of(design.p_load____araddr), 1 << number_of(design.p_load____arsize),
          number_of(design.p_load____arid), nullptr);
    if (number_of(design.p_store____awvalid)) addresses.push_back(number_of(design.p_store____awaddr));
    if (number_of(design.p_store____wvalid)) {
      Content content;
      memcpy(content.bytes, words_of(design.p_store____wdata), LINE);
      memcpy(content.strobes, words_of(design.p_store____wstrb), sizeof content.strobes);
      contents.push_back(content);
    }
    if (!addresses.empty() && !contents.empty()) {
      int64_t address = addresses.front();
      const Content &content = contents.front();
      ask(STORE, address, LINE, 0, &content);
      for (int64_t byte = 0; byte < present(open[STORE].back()); byte++)
        if (content.has(byte)) bench.image[address + byte] = content.bytes[byte];
      addresses.pop_front();
      contents.pop_front();
    }
    if (number_of(design.p_fetch____arvalid))
      ask(FETCH, number_of(design.p_fetch____araddr), BURST, 0, nullptr);
  }
  void note(uint32_t trace) {
    for (int kind = 0; kind < KINDS; kind++)
      for (int unit = 0; unit < UNITS; unit++)
        if (trace >> (1 + kind * UNITS + unit) & 1) {
          int64_t &count = bench.counts[kind * UNITS + unit];
          if (count < bench.room[unit]) bench.events[kind * UNITS + unit][count] = cycle;
          count++;
        }
  }
};
}

// Clocks the design until its interrupt; 0, 1 after most_cycles, 2 for a loop of gates.
extern "C" int64_t run_bench(void *instance, Bench *bench) {
  top &design = *static_cast<top *>(instance);
  Memory memory(*bench, design);
  bool begun = false;
  for (auto ready : {&design.p_load____arready, &design.p_fetch____arready, &design.p_store____awready,
                     &design.p_store____wready, &design.p_load____rlast, &design.p_fetch____rlast})
    *ready = value<1>{1u};
  for (int64_t clocked = 0; clocked < bench->most_cycles; clocked++) {
    memory.before();
    design.p_clk = value<1>{1u};
    design.prev_p_clk = value<1>{0u};
    if (!design.eval()) return 2;
    uint32_t trace = uint32_t(number_of(design.p_trace));
    bool interrupt = number_of(design.p_interrupt);
    begun |= trace & 1;
    if (begun) {
      memory.after();
      memory.note(trace);
      memory.cycle++;
      bench->cycles += trace & 1;
    }
    design.commit();
    if (interrupt) return 0;
  }
  return 1;
}
"""


def bench(burst_bytes: int, line_bytes: int) -> str:
    """Return the function `run_bench` for a core with bursts and lines of so many bytes."""
    sizes = {"BURST": burst_bytes, "LINE": line_bytes, "PARTS": line_bytes // burst_bytes}
    constants = {"KINDS": len(KINDS), "UNITS": len(Unit), **sizes}
    defined = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    return defined + _TEXT
