"""Parallel work: processes that may crash, and a thread that reads ahead."""
