"""Commands that check, shrink and pack training videos."""
