"""One DAVIS frame stage by stage against the plain official method: the first whose window of references is full.

python -m tests.speed.davis_stages                      # VIDCORR_DATA/davis, R18 at stride 8, protocol vfs

`vidcorr validate` prints what whole sequences take by the same stages.
"""

import copy

import torch
from torch import Tensor, nn

from tests.helpers.plain_masks import plain_boundary_score, plain_decode, plain_region
from tests.speed.propagation import time_step
from tests.speed.timing import compare, flags, real_folder, report, row
from vidcorr.backbones import build_feature_extractor
from vidcorr.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.datasets import Davis
from vidcorr.functional import decode_masks, encode_masks
from vidcorr.metrics import boundary_score, jaccard, object_outlines
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import extractor_under

WHAT = "DAVIS frame at 480p, {}"


class PlainNormalise(nn.Module):
    """ImageNet's normalisation, memory left as it is."""

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images - mean) / std


def plain_backbone(extractor: nn.Module) -> nn.Module:
    """The network as its code has it: BatchNorms apart, channels before rows and columns."""
    network = copy.deepcopy(extractor).to(memory_format=torch.contiguous_format)
    network.normalise = PlainNormalise()
    return network


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--part", type=float, default=0.05, help="fraction of the queries that the dense method does")
    given = parser.parse_args()
    torch.manual_seed(0)
    protocol, sequence = PropagationProtocol.named("vfs"), Davis(real_folder() / "davis")[0]
    extractor = build_feature_extractor("torchvision:resnet18")
    view, network, last = extractor_under(extractor, protocol), plain_backbone(extractor), protocol.context + 1
    images = [sequence.frame(t)[None].float() / 255 for t in range(last + 1)]
    features = torch.cat([view(image) for image in images])
    first = encode_masks(sequence.read_mask(0), sequence.objects, features.shape[2:], protocol)
    propagate, agreement, labels = time_step(features, first, protocol, given.part, given.repeats)

    def decode() -> Tensor:
        return decode_masks(labels, sequence.objects, protocol, sequence.size)

    prediction, target = decode(), sequence.read_mask(last)

    def score() -> list[tuple[float, float]]:
        pairs = [object_outlines(item, sequence.objects) for item in (prediction, target)]
        return [(jaccard(*both), boundary_score(*both)) for both in zip(*(p.values() for p in pairs), strict=True)]

    def plain_score() -> list[tuple[float, float]]:
        masks = [((prediction == i).numpy(), (target == i).numpy()) for i in sequence.objects]
        return [(plain_region(*both), plain_boundary_score(*both)) for both in masks]

    assert score() == plain_score(), "the scores differ"

    ways = {
        "backbone": (lambda: network(images[last]), lambda: view(images[last])),
        "decode masks": (lambda: plain_decode(labels, sequence.size), decode),
        "score": (plain_score, score),
    }
    print(f"one frame of {sequence.name}; propagation {agreement}")
    report(WHAT.format("propagate"), propagate)
    stages = [propagate]
    for stage, (plain, ours) in ways.items():
        stages.append(compare(WHAT.format(stage), {"plain": plain}, ours, given.repeats))
    sums = (sum(times[name].least for times in stages) for name in ("plain", "vidcorr"))
    row(WHAT.format("sum"), *sums)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
