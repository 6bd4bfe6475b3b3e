"""Conversion of other projects' checkpoints to our modules, and export of ours."""
