"""Benchmarks as Lightning callbacks, one per file."""
