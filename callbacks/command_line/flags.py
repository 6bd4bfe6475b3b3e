"""Types of the flags of tools; imports nothing heavy."""

import argparse


def positive(text: str) -> int:
    """Return the number of a flag.

    Raises:
        argparse.ArgumentTypeError: if the text is not a whole number of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more, got {text!r}")
    return int(text)
