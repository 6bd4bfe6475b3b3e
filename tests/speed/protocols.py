"""Score the same features under every named protocol of DAVIS: how much the protocol alone moves the score.

python tests/speed/protocols.py raw_colour --root ../shared/data/davis --frames 25 --output runs/protocols/raw_colour
python tests/speed/protocols.py torchvision:resnet18 --stage res4 --output runs/protocols/resnet18

Everything is halved, so that it runs on a CPU: the sides of the frames, the size rules and the radii in pixels. All
features have stride 8; of protocols for stride 16 the map then has as many cells as in the source.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks import DavisBenchmark
from callbacks.results.records import Record
from callbacks.results.statistics import difference, interval
from callbacks.tools.sweep_findings import read_scores
from callbacks.tracking.label_tracker import seen_by
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.sources import SOURCES

STRIDE = 8


def halved(protocol: PropagationProtocol) -> PropagationProtocol:
    """Return a protocol on pictures of half the side, at stride 8, under the same name with `half ` in front."""
    size = protocol.input_size
    changes: dict[str, Any] = {"feature_stride": STRIDE, "name": f"half {protocol.name}"}
    if protocol.radius is not None:
        changes["radius"] = protocol.radius * protocol.feature_stride / (2 * STRIDE)
    if size is None:
        changes |= {"input_size": 240, "input_filter": "bilinear-antialias"}
    elif isinstance(size, int):
        changes["input_size"] = size // 2
    else:
        changes["input_size"] = (size[0] // 2, size[1] // 2)
    if protocol.input_multiple > 1:
        changes["input_multiple"] = protocol.input_multiple // 2
    if protocol.resized_data is not None:
        changes["resized_data"] = (protocol.resized_data[0] // 2, protocol.resized_data[1] // 2)
    return protocol.with_changes(**changes)


def first_frames(data: Path, root: Path, count: int) -> Path:
    """Make a DAVIS folder of the first frames of each sequence."""
    for folder in ("JPEGImages", "Annotations"):
        for file in (data / folder / "480p").glob("*/*"):
            place = root / folder / "480p" / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if int(file.stem) < count and not place.exists():
                place.symlink_to(file.resolve())
    return root


def table(scored: list[Record]) -> str:
    """Return a line for each protocol, by score: J&F, its interval, and the paired difference to `vfs`."""
    base = next(one for one in scored if one.column.protocol == "half vfs")
    lines = ["| protocol | J&F | 95 % interval | minus `vfs`, p |", "|---|---|---|---|"]
    for one in sorted(scored, key=lambda one: -one.value):
        low, high = interval([one.videos]) or (float("nan"),) * 2
        found = difference([one.videos], [base.videos])
        name = one.column.protocol.removeprefix("half ")
        compared = found.in_points if found else ""
        lines.append(f"| `{name}` | {100 * one.value:.1f} | {100 * low:.1f} … {100 * high:.1f} | {compared} |")
    return "\n".join(lines)


def main() -> None:
    """Score the protocols that share an input in one pass; a pass whose results exist is not repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--stage")
    parser.add_argument("--root", type=Path, default=Path("../shared/data/davis"))
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    root = first_frames(args.root, args.output / "data", args.frames)
    passes: dict[Any, list[PropagationProtocol]] = defaultdict(list)
    for name in SOURCES:
        protocol = halved(PropagationProtocol.named(name))
        passes[seen_by(protocol)].append(protocol)
    folders = [args.output / f"pass_{number}" for number in range(len(passes))]
    for folder, protocols in zip(folders, passes.values(), strict=True):
        if (folder / "results.json").is_file():
            continue
        torch.manual_seed(args.seed)
        extractor = build_feature_extractor(args.spec, args.stage, STRIDE)
        benchmark: Any = DavisBenchmark(root, split=None, predictions=False)
        benchmark.protocol = protocols if len(protocols) > 1 else protocols[0]
        benchmark.evaluate(extractor, folder)
    print(table(read_scores(folders, "J&F-Mean")))


if __name__ == "__main__":
    main()
