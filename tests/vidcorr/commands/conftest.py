"""A counter of passes, for the tests of tools that evaluate."""

import pytest

from vidcorr import DavisBenchmark


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the protocols of each pass over DAVIS from now on."""
    passes = []
    evaluate = DavisBenchmark.evaluate

    def counting(self, *args, **options):
        protocols = self.protocol if isinstance(self.protocol, list) else [self.protocol]
        passes.append([protocol.name for protocol in protocols])
        return evaluate(self, *args, **options)

    monkeypatch.setattr(DavisBenchmark, "evaluate", counting)
    return passes
