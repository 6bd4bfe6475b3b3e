"""Callbacks for `fit` other than the benchmarks: checkpoints, folders, safeguards, monitors."""
