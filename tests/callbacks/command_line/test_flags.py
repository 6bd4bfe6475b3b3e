"""Types of flags."""

import argparse

import pytest

from callbacks.command_line.flags import positive


def test_a_number_is_one_or_more() -> None:
    assert positive("12") == 12
    for text in ("0", "-1", "1.5", "many", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=f"expected an integer of at least 1, got '{text}'"):
            positive(text)
