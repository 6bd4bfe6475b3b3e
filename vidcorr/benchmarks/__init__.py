"""Benchmarks as Lightning callbacks, a file for each benchmark."""
