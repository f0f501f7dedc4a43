"""Holds the tokens that a chip makes against those of ONNX Runtime, on messages of the test catalogues.

`python examples/translate/check_on_chip.py FOLDER MODEL --messages 100`: FOLDER has the pairs, MODEL the
shipped files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import data
import onnx
from make_model import run_of, tokens_of
from tokenizers import Tokenizer

from hanok.flows.apps._translate_network import SentenceMachine, read_tables
from hanok.flows.apps.translate import Translator
from hanok.machine import Chip


def main() -> None:
    """Compare, and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--chip", default="edge")
    arguments = parser.parse_args()
    tables = read_tables(arguments.model)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    models = (onnx.load(arguments.model / f"{name}.onnx") for name in ("encoder", "decoder"))
    reference = SentenceMachine(tables, *map(run_of, models))
    encoder, decoder = Translator(Chip.load(arguments.chip), model=arguments.model).programs
    machine = SentenceMachine(tables, encoder.run, decoder.run)
    messages = [message for name in data.TESTS for message in data.read(arguments.folder, name)]
    step = max(1, len(messages) // arguments.messages)
    same = total = tokens = 0
    for message in messages[::step][: arguments.messages]:
        made, wanted = (list(tokens_of(each, tables, tokenizer, message)) for each in (machine, reference))
        same += made == wanted
        total += 1
        tokens += len(made)
        if made != wanted:
            print(f"{message.source}\n  chip: {tokenizer.decode(made)}\n  host: {tokenizer.decode(wanted)}")
    print(f"{same} of {total} translations have the same tokens; {tokens} tokens on the chip")
    for program in (encoder, decoder):
        assert program.result is not None, "it ran"
        record = program.result.record
        print(
            f"{program.name}: {record.cycles:,} cycles, {record.latency_ms:.4f} ms, "
            f"{program.result.energy:.4f} mJ, {record.macs:,} MACs, "
            f"{record.dram_read_bytes + record.dram_write_bytes:,} DRAM bytes a run"
        )


if __name__ == "__main__":
    main()
