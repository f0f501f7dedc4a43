"""The compiler: from the typed graph and a chip to a verified program."""

from hanok.compiler.pipeline import compile_graph
from hanok.compiler.verify import verify_code

__all__ = ["compile_graph", "verify_code"]
