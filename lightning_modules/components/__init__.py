"""Parts that several methods are built from: heads, the queue of keys, the momentum encoder, schedules, ranks."""
