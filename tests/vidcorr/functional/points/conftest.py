"""The public codes' own numbers."""

import pytest


@pytest.fixture(scope="session")
def peers(golden):
    return golden("tap_vid/decoding")
