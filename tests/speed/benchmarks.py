"""Each benchmark on generated data, from files to scores and files, in seconds per frame by kind of work.

python -m tests.speed.benchmarks --device cuda                  # ResNet-18, two videos of 40 frames at 480p each
python -m tests.speed.benchmarks --small                        # does the command run at all
python -m tests.speed.benchmarks --device cuda --davis DAVIS    # DAVIS-2017 too
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import vidcorr
from tests.speed.timing import flags, in_words, now
from vidcorr import Result
from vidcorr.backbones import build_encoder, build_feature_extractor
from vidcorr.datasets.generated import write_davis, write_jhmdb, write_otb, write_tap_vid, write_vip, write_youtube_vos
from vidcorr.protocols import PointProtocol


def runs(at: Path, small: bool) -> dict[str, Any]:
    """Generate the data of each benchmark, and return name → benchmark."""
    count, frames, size = (1, 6, (64, 64)) if small else (2, 40, (480, 854))
    low, changes = {"backbone_precision": "bfloat16"}, {"input_size": (64, 64)} if small else {}
    davis = write_davis(at / "davis", count, frames=frames, size=size)
    youtube = write_youtube_vos(at / "youtube_vos", 1, valid=count, frames=frames + 1, size=size)
    joints = write_jhmdb(at / "jhmdb", count, frames=frames)
    points = write_tap_vid(at / "tap_vid", count, frames=frames)
    return {
        "davis": vidcorr.DavisBenchmark(davis, split=None),
        "davis, bfloat16": vidcorr.DavisBenchmark(davis, split=None, changes=low),
        "youtube_vos": vidcorr.YoutubeVosBenchmark(youtube),
        "vos": vidcorr.VosBenchmark(davis, frames="JPEGImages/480p", masks="Annotations/480p"),
        "jhmdb": vidcorr.JhmdbBenchmark(joints, changes=changes),
        "jhmdb, bfloat16": vidcorr.JhmdbBenchmark(joints, changes=changes | low),
        "vip": vidcorr.VipBenchmark(write_vip(at / "vip", count, frames=frames), changes=changes),
        **{f"tap_vid, {name}": vidcorr.TapVidBenchmark(points, protocol=name) for name in PointProtocol.sources()},
        "otb": vidcorr.OtbBenchmark(write_otb(at / "otb", count, frames=frames), version=None),
    }


def measure(name: str, benchmark: Any, extractor: Any, out: Path) -> str:
    """Run a benchmark twice; return a row of the table with the second run's times of a frame."""
    frames = sum(sequence.num_frames for sequence in benchmark.sequences)
    for _ in range(2):
        began = now()
        with contextlib.redirect_stdout(sys.stderr):  # its own table of scores
            benchmark.evaluate(extractor, out)
        seconds = now()[0] - began[0]
    spent = Result.load(out).seconds_of
    words = ", ".join(f"{kind} {in_words(value / frames)}" for kind, value in spent.items())
    return f"| {name}: a frame of {frames} | | {in_words(seconds / frames)} | {words} |"


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--small", action="store_true", help="tiny networks and images")
    parser.add_argument("--davis", help="root of DAVIS-2017")
    given = parser.parse_args()
    spec = "tests.helpers.encoders:TinyResNet" if given.small else "torchvision:resnet18"
    with tempfile.TemporaryDirectory() as folder:
        found = runs(Path(folder), given.small)
        if given.davis:
            found["davis, real data"] = vidcorr.DavisBenchmark(given.davis)
        for name, benchmark in found.items():
            frozen = build_feature_extractor(spec, "res4", 8)
            extractor = benchmark.extractor(build_encoder(spec)) if name == "otb" else frozen
            print(measure(name, benchmark, extractor.to(given.device), Path(folder, "out", name)), flush=True)
    if torch.cuda.is_available():
        print(f"most memory: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
