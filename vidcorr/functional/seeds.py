"""The seed of a run."""

import os


def run_seed(seed: int | None = None) -> int:
    """Return a seed; None is the run's: that of `seed_everything` of Lightning, or 0 without it."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
