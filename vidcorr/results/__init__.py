"""Results as data: files, published scores, records, statistics and tables."""
