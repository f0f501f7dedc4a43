"""Small designs in Verilog that clone tests copy, and ways to copy them that share no code with the tool."""

from __future__ import annotations

import re
from random import Random

FRAMER = """
// Frames bytes: finds a start mark, takes a length, sums the payload and checks it.
module framer (input clk, input rst, input [7:0] data, input valid, output reg [7:0] out, output reg good,
               output reg bad, output [15:0] frames);
  localparam IDLE = 2'd0, LENGTH = 2'd1, PAYLOAD = 2'd2, CHECK = 2'd3;
  reg [1:0] state;
  reg [7:0] left;
  reg [7:0] sum;
  reg [15:0] counted;
  reg [3:0] errors;
  assign frames = counted;
  always @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      left <= 8'd0;
    end else if (valid) begin
      case (state)
        IDLE: if (data == 8'hA5) state <= LENGTH;
        LENGTH: begin
          left <= data;
          state <= data == 8'd0 ? CHECK : PAYLOAD;
        end
        PAYLOAD: begin
          left <= left - 8'd1;
          if (left == 8'd1) state <= CHECK;
        end
        CHECK: state <= IDLE;
      endcase
    end
  end
  always @(posedge clk) begin
    if (state == IDLE) sum <= 8'h5A;
    else if (valid && state == PAYLOAD) sum <= {sum[6:0], sum[7]} ^ data;
  end
  always @(posedge clk) begin
    good <= valid && state == CHECK && sum == data;
    bad <= valid && state == CHECK && sum != data;
    out <= valid && state == PAYLOAD ? data : 8'd0;
  end
  always @(posedge clk) begin
    if (rst) counted <= 16'd0;
    else if (good) counted <= counted + 16'd1;
    if (rst) errors <= 4'd0;
    else if (bad && errors != 4'hF) errors <= errors + 4'd1;
  end
  mixer scrambler (.clk(clk), .rst(rst), .step(valid), .seed(sum), .word());
endmodule
module mixer (input clk, input rst, input step, input [7:0] seed, output reg [23:0] word);
  reg [4:0] turns;
  wire fed = word[23] ^ word[21] ^ word[16] ^ (seed[0] & turns[4]);
  always @(posedge clk)
    if (rst) word <= 24'h5EED01;
    else if (step) word <= {word[22:0], fed} + {16'd0, seed & {8{turns[0]}}};
  always @(posedge clk)
    if (rst) turns <= 5'd0;
    else if (step) turns <= turns == 5'd20 ? 5'd3 : turns + 5'd1;
endmodule
"""
PULSER = """
module pulser (input clock, input reset, input [11:0] period, input [11:0] width, input load,
               output reg pulse, output reg [2:0] phase, output tick);
  reg [11:0] period_held, width_held, position;
  reg [5:0] divider;
  reg direction;
  assign tick = divider == 6'd49;
  always @(posedge clock or posedge reset)
    if (reset) divider <= 6'd0;
    else divider <= tick ? 6'd0 : divider + 6'd1;
  always @(posedge clock or posedge reset)
    if (reset) begin
      period_held <= 12'd100;
      width_held <= 12'd10;
    end else if (load && position == 12'd0) begin
      period_held <= period;
      width_held <= width > period ? period : width;
    end
  always @(posedge clock or posedge reset)
    if (reset) begin
      position <= 12'd0;
      direction <= 1'b0;
    end else if (tick) begin
      if (direction) begin
        position <= position - 12'd1;
        if (position == 12'd1) direction <= 1'b0;
      end else begin
        position <= position + 12'd1;
        if (position == period_held) direction <= 1'b1;
      end
    end
  always @(posedge clock) begin
    pulse <= position < width_held;
    if (tick && !direction && position == 12'd0) phase <= phase == 3'd5 ? 3'd0 : phase + 3'd1;
  end
endmodule
"""
_KEPT = frozenset(
    [
        "module",
        "endmodule",
        "input",
        "output",
        "reg",
        "wire",
        "assign",
        "always",
        "posedge",
        "negedge",
        "begin",
        "end",
        "if",
        "else",
        "case",
        "endcase",
        "or",
        "localparam",
    ]
)


def renamed(text: str, seed: int = 1) -> str:
    """Return Verilog with other names, other space and no comments (of these designs alone)."""
    random = Random(seed)
    names: dict[str, str] = {}
    text = re.sub(r"//[^\n]*", "", text)

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if word in _KEPT or match.string[match.start() - 1] == "'":
            return word
        return names.setdefault(word, f"n{len(names)}_{random.randrange(10**6)}")

    text = re.sub(r"(?<!['\w])[A-Za-z_]\w*", other, text)
    return re.sub(r"\s+", lambda _: random.choice([" ", "\n", "  ", "\n\t"]), text)


def reordered(text: str) -> str:
    """Return Verilog whose modules come in the opposite order."""
    parts = re.findall(r"module .*?endmodule", re.sub(r"//[^\n]*", "", text), re.DOTALL)
    return "\n".join(reversed(parts))
