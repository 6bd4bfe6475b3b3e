"""Record what every benchmark and `predict` find, down to the files they write, to compare two versions of the code.

    python tests/helpers/benchmark_record.py DATA before.json
    python tests/helpers/benchmark_record.py DATA after.json --against before.json

DATA is a folder that is filled on first use and read as it is afterwards, so that both versions see the same bytes.
"""

import argparse
import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from callbacks import (
    DavisBenchmark,
    JhmdbBenchmark,
    OtbBenchmark,
    VipBenchmark,
    YoutubeVosBenchmark,
    predict_video,
)
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt
from datamodules.synthetic import write_davis, write_jhmdb, write_otb, write_vip, write_youtube_vos
from lightning_modules.backbones import build_encoder, build_feature_extractor

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL_FRAMES = 4


def make_data(root: Path) -> None:
    """Generate the small sets, and cut a few frames out of the real sequences."""
    if (root / "complete").exists():
        return
    write_davis(root / "davis", 3, frames=8, size=(96, 128))
    write_youtube_vos(root / "youtube_vos", 8, valid=1, frames=21, size=(96, 96))
    write_jhmdb(root / "jhmdb", 2, frames=8)
    write_vip(root / "vip", 2, frames=5, size=(120, 160))
    write_otb(root / "otb", 2, frames=12, size=(120, 160))
    for name in ("blackswan", "dog"):
        for part, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            target = root / "real_davis" / part / "480p" / name
            target.mkdir(parents=True)
            for t in range(REAL_FRAMES):
                shutil.copy(SHARED / "davis" / part / "480p" / name / f"{t:05d}.{suffix}", target)
    for name in ("Crossing", "Man"):
        target = root / "real_otb" / name / "img"
        target.mkdir(parents=True)
        for t in range(1, 9):
            shutil.copy(SHARED / "otb" / name / "img" / f"{t:04d}.jpg", target)
        lines = (SHARED / "otb" / name / "groundtruth_rect.txt").read_text().splitlines(keepends=True)
        (target.parent / "groundtruth_rect.txt").write_text("".join(lines[:8]))
    (root / "complete").touch()


def runs(root: Path) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Name of each run, and the call that writes its files into a folder."""
    torch.manual_seed(0)
    resnet = build_encoder("torchvision:resnet18")
    both = resnet.feature_extractor(["res3", "res4"], 8)
    held_out = {"split": "holdout", "holdout": 0.4, "unseen": 2}
    entering = {"split": None, "annotations": "entering", "size_tolerance": 1, "limit_sequences": 1}
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("davis", DavisBenchmark, {"root": root / "davis"}),
        ("davis_crw", DavisBenchmark, {"root": root / "davis", "protocol": "crw"}),
        ("davis_dino", DavisBenchmark, {"root": root / "davis", "protocol": "dino"}),
        ("youtube_vos", YoutubeVosBenchmark, {"root": root / "youtube_vos", **held_out}),
        ("youtube_vos_valid", YoutubeVosBenchmark, {"root": root / "youtube_vos", "all_frames": True}),
        ("jhmdb", JhmdbBenchmark, {"root": root / "jhmdb"}),
        ("vip", VipBenchmark, {"root": root / "vip"}),
        ("real_davis", DavisBenchmark, {"root": root / "real_davis", "split": None}),
        ("real_davis_multi", DavisBenchmark, {"root": SHARED / "davis_multi_first", **entering}),
        ("real_jhmdb", JhmdbBenchmark, {"root": SHARED / "jhmdb", "limit_sequences": 1}),
    ]
    for name, kind, arguments in cases:
        for network in ("resnet18", "raw_colour", "two_stages"):
            if network == "two_stages" and name not in ("davis", "jhmdb", "vip"):
                continue

            def run(folder: Path, kind: Any = kind, arguments: Any = arguments, network: str = network) -> None:
                benchmark = kind(**arguments)
                seen = {
                    "resnet18": lambda: benchmark.extractor(resnet),
                    "raw_colour": lambda: build_feature_extractor("raw_colour"),
                    "two_stages": lambda: both,
                }[network]()
                benchmark.evaluate(seen, folder, network)

            yield f"{name}/{network}", run
    for name in ("otb", "real_otb"):

        def track(folder: Path, name: str = name) -> None:
            benchmark = OtbBenchmark(root / name, version=None, video=name == "otb", sequences_at_once=2)
            benchmark.evaluate(benchmark.extractor(resnet), folder, "resnet18")

        yield f"{name}/resnet18", track
    video, first = root / "davis" / "JPEGImages" / "480p", root / "davis" / "Annotations" / "480p"
    clip = min(video.iterdir())
    mask = MaskPrompt.of(first / clip.name / "00000.png")
    ys, xs = np.nonzero(mask.ids)
    corner = [float(xs.min()), float(ys.min()), float(np.ptp(xs)) + 1, float(np.ptp(ys)) + 1]
    points = {"first": [float(xs[0]), float(ys[0])], "middle": [float(xs.mean()), float(ys.mean())]}
    res4, res5 = resnet.feature_extractor("res4", 8), resnet.feature_extractor("res5", dilated=True)
    for name, extractor, prompt, settings in (
        ("masks", res4, mask, {}),
        ("masks_small", res4, mask, {"short_side": 64, "overlay": "gif"}),
        ("points", res4, PointPrompt.of(points), {}),
        ("box", res5, BoxPrompt.of(corner), {}),
    ):

        def follow(folder: Path, extractor: Any = extractor, prompt: Any = prompt, settings: Any = settings) -> None:
            predict_video(extractor, clip, prompt, folder, **settings)

        yield f"predict_{name}", follow


def record(data: Path) -> dict[str, Any]:
    """Scores, rows, and the hash of each prediction, overlay and film."""
    make_data(data)
    found: dict[str, Any] = {}
    for name, run in runs(data):
        with TemporaryDirectory() as place:
            folder = Path(place) / "run"
            run(folder)
            content: dict[str, Any] = {"files": _hashes(folder)}
            if (folder / "results.json").is_file():
                content["scores"] = json.loads((folder / "results.json").read_text())["scores"]
            if (folder / "per_sequence.csv").is_file():
                with (folder / "per_sequence.csv").open(newline="") as file:
                    content["rows"] = list(csv.DictReader(file))
            found[name] = content
            print(name, content.get("scores", ""), f"{len(content['files'])} files")
    return found


def _hashes(folder: Path) -> dict[str, str]:
    changing = {"results.json", "per_sequence.csv", "report.html", "report.json", "prediction.json", "predictions.zip"}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in changing]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """Each value that is not the same, by its place."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(old.get(key), new.get(key), f"{place}/{key}")
        ]
    return [] if old == new else [f"{place}: {str(old)[:200]} -> {str(new)[:200]}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    result = record(flags.data.resolve())
    flags.output.write_text(json.dumps(result, indent=1) + "\n")
    if flags.against is not None:
        moved = differences(json.loads(flags.against.read_text()), result)
        print("\n".join(moved) or "nothing moved")
        sys.exit(bool(moved))
