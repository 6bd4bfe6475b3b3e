"""Intervals and tests of scores over sequences, without torch."""
