"""The acceptance test that goes out with a core: plain cocotb, which needs no hanok."""
