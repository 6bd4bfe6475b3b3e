"""A counter of passes, for the tests of tools that evaluate."""

import pytest

from vidcorr import DavisBenchmark


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the protocols of each pass over DAVIS from now on."""
    passes = []
    run = DavisBenchmark.run

    def counting(self, extractor, network, protocols, *args, **options):
        passes.append([protocol.name for protocol in protocols])
        return run(self, extractor, network, protocols, *args, **options)

    monkeypatch.setattr(DavisBenchmark, "run", counting)
    return passes
