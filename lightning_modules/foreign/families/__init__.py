"""Families of foreign checkpoints, one a file."""
