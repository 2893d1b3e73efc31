"""Benchmark: the engine against the textbook loop, and both against what the device can do."""
