"""Parts that methods share: heads, moving average, negatives, BatchNorm groups, schedules, checks, plan, checkpoints."""
