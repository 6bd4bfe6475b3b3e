"""Types of the flags of tools; imports nothing heavy."""

import argparse


def positive(text: str) -> int:
    """Return the positive integer that a flag gives.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)
