"""Commands that score, compare, draw and report."""
