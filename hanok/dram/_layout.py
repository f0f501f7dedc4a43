"""Layout of the controller's flat int64 array: header, tables, and one block for each channel.

A channel's block holds its command buses and, for each of its pseudo-channels (units), a block of the same
shape: scalars, earliest cycles by level, banks, lists of what they want, queue entries, input ports.
Everything that the controller knows of a channel stands in its block, so a copy of the block is a snapshot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

State = NDArray[np.int64]

NEVER = 1 << 60

# Header: shape, policy, offsets of the tables, offsets of the parts within a unit's block, and where the
# machine code of `advance` begins.
(
    H_FLAT, H_FLAT_FS, H_FLAT_LATENCY_FS,
    H_TCK_FS, H_BURST, H_READ_LATENCY, H_WRITE_LATENCY,
    H_UNITS, H_PSEUDO, H_PSEUDO_SHIFT, H_RANKS, H_GROUPS, H_BANKS, H_GROUP_SHIFT, H_RANK_SHIFT,
    H_PLACES, H_ADDRESS, H_PLACE,
    H_RULES, H_FORMS, H_WINDOW, H_WINDOW_ACT, H_WINDOW_REFB, H_BEFORE_REFB,
    H_GAP_LEAST, H_GAP_MOST, H_FIRST,
    H_INTERVAL, H_BANK_INTERVAL, H_REFRESH_CYCLES, H_POSTPONED,
    H_CLOSED, H_CAP, H_READ_QUEUE, H_WRITE_QUEUE, H_HIGH, H_LOW, H_STREAM,
    H_FLOW_UNIT, H_FLOW_RANK, H_FLOW_OTHER_RANK, H_FLOW_GROUP,
    H_PORTS, H_RING_MASK,
    H_CHANNELS, H_CHANNEL_SIZE, H_UNIT_SIZE,
    O_RANKS, O_GROUPS, O_BANKS, O_WANTING, O_ENTRIES, O_PORTS, O_INPUT, O_FLOWED,
    H_ANSWERS, H_ANSWER_MASK, H_TRACE, H_TRACE_ROOM, H_TRACE_COUNT,
    H_ADVANCE,
    H_SIZE,
) = range(62)  # fmt: skip

COMMANDS = 8
ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = range(COMMANDS)
L_PSEUDO, L_RANK, L_OTHER_RANK, L_GROUP, L_BANK = range(5)
LEVELS = 5
R_SIZE = 2
"""For each command and level: where its pairs (after, cycles) begin and where they end."""
F_LEAD, F_TAIL, F_ALIGN, F_BUS, F_SIZE = range(5)
"""For each command: its Form; F_BUS is 1 on the column bus of a channel with two, else 0."""
P_COLUMN, P_BANK, P_ROW = 12, 28, 40
"""A burst's place in one number: its unit from bit 0 on, then these. At H_PLACES stands what each value of
each digit of an address adds to it; H_ADDRESS and H_PLACE are those that were asked for last."""
P_DIGIT = 8
P_VALUES = 1 << P_DIGIT
P_SIZE = 64 // P_DIGIT * P_VALUES

CH_BUSES, CH_LAST, CH_UNITS = 0, 2, 4
"""A channel's block begins with the first free cycle of each command bus, and who sent the last command."""

READ, WRITE = 0, 1
ROW_CLOSED, ROW_OPENING = -1, -2

# Scalars of a unit; the earliest cycles of its commands follow at U_EARLIEST.
(
    U_NOW,  # nothing can happen before this cycle any more
    U_NEXT,  # lower bound of the next cycle in which something can happen
    U_PLANNED,  # 1: the candidates below hold
    U_MODE,  # READ or WRITE: which queue is served
    U_READS, U_WRITES,  # queued requests
    U_STRAY_READS, U_STRAY_WRITES,  # queued requests whose row is not open
    U_FIRST_READ, U_FIRST_WRITE,  # oldest queued request, or -1
    U_LAST_READ, U_LAST_WRITE,  # youngest one
    U_FREE,  # first free queue entry, or -1
    U_SEQUENCE,  # number of the next request
    U_PORT,  # the port whose turn it is
    U_DUE,  # next refresh
    U_OWED,  # refreshes that are due
    U_TARGET,  # bank of the next REFB
    U_OPEN,  # open banks
    U_OPENED,  # the bank that was opened last
    U_HALF, U_HALF_ENTRY, U_DEADLINE,  # bank (or -1) between its ACT1 and ACT, and for which request
    U_RING_NEXT,
    U_ARRIVAL,  # no request enters before this cycle
    U_BLOCKED,  # 1: a request has arrived that found no room
    U_OWNED_READS, U_OWNED_WRITES,  # requests whose row was opened for them; they do not count in the queue
    U_COLUMN_AT, U_COLUMN_ENTRY, U_ROW_AT, U_ROW_BANK, U_ROW_COMMAND,  # candidates
    U_FLOWING,  # 1: reads are served from their port
    U_FLOW_PORT, U_FLOW_ENTERED,  # that port, and how many of its requests have entered
    U_FLOW_SERVED,  # of those that are not taken: which are served, the oldest in bit 0
    U_FLOW_WAITING,  # how many are not served
    U_FLOW_AGAIN,  # how many reads must be served before a flow may begin
    U_FLOWED,  # banks whose last column commands the rules do not know yet
    U_DATA_END, U_LAST_KIND, U_REFRESHED,
    C_READS, C_WRITES, C_HITS, C_MISSES, C_CONFLICTS, C_ACTIVATES, C_PRECHARGES, C_REFRESHES,
    C_BANK_REFRESHES, C_TURNAROUNDS, C_FORWARDS, C_COALESCED,
    C_LOST, C_LOST_REFRESH, C_LOST_TURNAROUND, C_LOST_ACTIVATE, C_LOST_GROUP, C_LOST_BUS,
    U_RING,  # cycles of the last eight activates
) = range(62)  # fmt: skip
RING = 8
U_WANTING = U_RING + RING
WANTS = 3
WANTS_COLUMN, WANTS_ACTIVATE, WANTS_PRECHARGE, WANTS_NOTHING = range(4)
"""What a queue wants of a bank; of each but nothing, U_WANTING counts the banks, first for reads."""
U_EARLIEST = U_WANTING + 2 * WANTS
U_SIZE = U_EARLIEST + COMMANDS

# A bank: earliest cycles of its commands, then these. B_OWNER: the request that its row was opened for, until
# it is served. B_FLOWED: the cycle of the last column command that the rules do not know yet, or -1.
(
    B_ROW, B_OWNER, B_BYPASSED, B_REFRESHED, B_FLOWED,
    B_HEAD_READ, B_HEAD_WRITE, B_TAIL_READ, B_TAIL_WRITE, B_HIT_READ, B_HIT_WRITE,
    B_WANT_READ, B_WANT_WRITE, B_PLACE_READ, B_PLACE_WRITE,
    B_SIZE,
) = range(COMMANDS, COMMANDS + 16)  # fmt: skip

# A queue entry: its number, place, links in its bank's queue and in its unit's, and what it is for; which
# request of which port it was.
(
    Q_SEQUENCE, Q_BANK, Q_ROW, Q_COLUMN, Q_KIND, Q_SEEN, Q_ADMITTED, Q_HANDLE, Q_PORT, Q_NUMBER,
    Q_NEXT, Q_BEFORE, Q_AFTER,
    Q_SIZE,
) = range(14)  # fmt: skip

# A port: how many requests were put in and taken out, and whether more may come at any time.
I_PUT, I_TAKEN, I_MORE, I_SIZE = range(4)
# A request at a port; in a flow N_ARRIVAL is when it entered.
N_ARRIVAL, N_KIND, N_PLACE, N_HANDLE, N_SIZE = range(5)

T_CYCLE, T_UNIT, T_COMMAND, T_BANK, T_ROW, T_COLUMN, T_SIZE = range(7)

# An answer: when the request entered its queue, and when its data were through; -1: not yet.
A_ADMITTED, A_COMPLETED, A_SIZE = range(3)

# Why `advance` returned.
REACHED, HUNGRY, TRACE_FULL, ENTERED = range(4)
