"""hanok: an open NPU, from its gates to its data centre."""
