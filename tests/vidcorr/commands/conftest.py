"""A counter of passes, for the tests of tools that evaluate."""

import pytest

from vidcorr import DavisBenchmark


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the protocols of each pass over DAVIS from now on."""
    passes = []
    run = DavisBenchmark.run

    def counting(self, *args, **options):
        passes.append([self.protocol.name])
        return run(self, *args, **options)

    monkeypatch.setattr(DavisBenchmark, "run", counting)
    return passes
