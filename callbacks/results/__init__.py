"""Results as data: files read and checked, a frame of records, their statistics, and tables in four formats."""
