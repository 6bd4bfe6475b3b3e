"""Experiments: jobs, the store of their results, and the runner that runs the jobs whose results the store lacks."""
