"""The rules of DAVIS by its year; from the extractor to the files: test_numbers.py."""
