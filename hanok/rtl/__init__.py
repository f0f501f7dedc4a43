"""The core in gates: Amaranth components, one a file, and their simulation as compiled C++."""
