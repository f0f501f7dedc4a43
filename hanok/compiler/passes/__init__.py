"""The passes of the compiler, in the order in which `hanok.compiler.pipeline` runs them."""
