"""The callback of a benchmark."""

from vidcorr.benchmarks.callback import BenchmarkCallback as BenchmarkCallback
