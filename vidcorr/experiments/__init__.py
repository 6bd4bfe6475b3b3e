"""Jobs, the store of their results, and the runner of missing jobs."""
