"""The seed of a run."""

import os


def run_seed(seed: int | None = None) -> int:
    """Return a seed as it is; for None the run's seed, set by Lightning's `seed_everything`, or 0 if none was set."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
