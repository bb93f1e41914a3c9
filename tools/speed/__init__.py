"""Benchmarks that `tools/bench.py` runs."""
