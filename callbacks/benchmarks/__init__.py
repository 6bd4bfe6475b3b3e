"""Benchmarks as Lightning callbacks, one a file."""
