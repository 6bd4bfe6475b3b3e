"""Families of foreign checkpoints, one per file."""
