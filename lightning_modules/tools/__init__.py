"""Commands that import and export weights."""
