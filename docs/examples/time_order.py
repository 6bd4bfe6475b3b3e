"""A benchmark of one's own: `--on docs.examples.time_order.TimeOrder=FOLDER`."""

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from vidcorr import Benchmark, Row
from vidcorr.datasets import Davis
from vidcorr.metrics import fractions


@dataclass(frozen=True)
class TimeOrder(Benchmark):
    """Benchmark of the order of time: frames nearer, in feature space, to the next frame than to the one after it."""

    name = "time_order"
    declared = fractions("accuracy")

    root: str

    def read(self):
        """Open the data set."""
        return Davis(self.root)

    def score(self, sequence, encoder, output):
        """Return the row of a sequence: the fraction of frames nearer to the next frame than to the one after it."""
        features = [features.mean((1, 2)) for features in encoder.maps(sequence.read())]
        features = normalize(torch.stack(features), dim=1)
        near, far = (features[:-2] * features[1:-1]).sum(1), (features[:-2] * features[2:]).sum(1)
        return [Row(video=sequence.name, values={"accuracy": (near > far).double().mean().item()})]

    def scores(self, rows):
        """Return the mean over sequences: `rows` are those of all ranks, sorted by name."""
        return {"accuracy": sum(row.values["accuracy"] for row in rows) / len(rows)}
