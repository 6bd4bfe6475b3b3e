"""Benchmarks: data set, protocol and rules as a value, a file for each."""
