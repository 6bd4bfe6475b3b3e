"""The public codes' own numbers."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def peers(shared_points):
    with np.load(shared_points / "decoding.npz", allow_pickle=False) as archive:
        return dict(archive)
