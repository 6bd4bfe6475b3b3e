"""Runs: their folders and words, the benchmarks of `--on`, and the store of results."""
