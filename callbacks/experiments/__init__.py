"""Experiments over many runs: studies (commands over seeds), sweeps (one backbone, many protocols), comparisons."""
