"""Time the encoding of a video by a network of clips through the engine against the network alone.

OMP_NUM_THREADS=1 python tests/speed/video_encoder.py --repeats 5
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torchvision.models.video import r3d_18

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks.tracking.frame_encoder import FrameEncoder
from callbacks.tracking.stopwatch import Stopwatch
from lightning_modules.backbones import Clips
from lightning_modules.functional import PropagationProtocol
from tests.speed.timing import compare, flags

WINDOW = 16


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--size", type=int, default=112)
    given = parser.parse_args()
    torch.manual_seed(0)
    whole = r3d_18().eval()
    network = nn.Sequential(whole.stem, whole.layer1, whole.layer2)
    frames = torch.randint(256, (given.frames, 3, given.size, given.size), dtype=torch.uint8)
    windows = (frames.float() / 255).split(WINDOW)
    rules = PropagationProtocol.named("rvm", "davis").with_changes(feature_stride=4, input_size=None)

    def alone() -> None:
        for clip in windows:
            network(clip.transpose(0, 1)[None])

    def by_engine() -> None:
        for _ in FrameEncoder(Clips(network, WINDOW), rules, Stopwatch()).encode(frames):
            pass

    with torch.inference_mode():
        what = f"{given.frames} frames by a network of clips"
        compare(what, {"network alone": alone}, {"vidcorr": by_engine}, given.repeats)


if __name__ == "__main__":
    main()
