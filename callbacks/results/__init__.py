"""Results as data: files read and checked, scores of papers, a frame of records, its statistics and its tables."""
