"""Parts of methods: heads, moving average, negatives, BatchNorm groups, schedules, checkpoints."""
