"""A rule of propagation of your own: the temperature is learnt with your network.

vidcorr evaluate torchvision:resnet18 --on docs.examples.learnt_rule:LearntDavis=FOLDER --output rule
"""

from vidcorr import DavisBenchmark
from vidcorr.functional import LabelPropagator


class Learnt(LabelPropagator):
    """The temperature that your module has learnt, in place of the protocol's."""

    def average(self, query, references):  # (h, w, C); .keys (h, w, S, C), .labels (h, w, S, L), .frames: S indices
        learnt = getattr(self.network, "temperature", 0.05)
        return super().average(query * (self.protocol.temperature / learnt), references)


class LearntDavis(DavisBenchmark):
    propagator = Learnt
