"""Record what benchmarks, `predict` and methods compute, down to the files, to compare two versions of the code.

    python -m tests.helpers.benchmark_record DATA before.json
    python -m tests.helpers.benchmark_record DATA after.json --against before.json

DATA is a folder that is filled on first use and read as it is afterwards, so that both versions see the same bytes.
"""

import argparse
import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import vidcorr
from tests.helpers.faults import differences
from tests.helpers.method_steps import RUNS, trained
from tests.helpers.references import real_data
from vidcorr import Result, write_report
from vidcorr.backbones import build_feature_extractor, load
from vidcorr.datasets import generated
from vidcorr.results.provenance import Provenance
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt

CHANGING = {"provenance", "date", "machine", "command", "versions", "seconds", "seconds_per_frame", "seconds_of"}
"""Entries of a JSON file that differ from run to run."""


def make_data(root: Path) -> None:
    """Generate the small sets, and cut a few frames out of the real sequences."""
    if (root / "complete").exists():
        return
    generated.write_davis(root / "davis", 3, frames=8, size=(96, 128))
    generated.write_youtube_vos(root / "youtube_vos", 8, valid=1, frames=21, size=(96, 96))
    generated.write_jhmdb(root / "jhmdb", 2, frames=8)
    generated.write_vip(root / "vip", 2, frames=5, size=(120, 160))
    generated.write_otb(root / "otb", 2, frames=12, size=(120, 160))
    generated.write_tap_vid(root / "tap_vid", 2, frames=8, tracks=6, size=(96, 128))
    generated.write_badja(root / "badja", 2, frames=8, size=(96, 128))
    videos = product(("JPEGImages", "Annotations"), ("blackswan", "dog"))
    folders = [f"davis/{part}/480p/{name}" for part, name in videos] + ["otb/Crossing/img", "otb/Man/img"]
    for folder in folders:
        (root / f"real_{folder}").mkdir(parents=True)
        for file in sorted(real_data(folder).iterdir())[: 8 if "otb" in folder else 4]:
            shutil.copy(file, root / f"real_{folder}")
    for name in ("Crossing", "Man"):
        lines = real_data(f"otb/{name}/groundtruth_rect.txt").read_text().splitlines(keepends=True)
        (root / "real_otb" / name / "groundtruth_rect.txt").write_text("".join(lines[:8]))
    (root / "complete").touch()


def runs(root: Path) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Name of each run, and the call that writes its files into a folder."""
    torch.manual_seed(0)
    resnet = load("torchvision:resnet18")
    res3, raw = resnet.view("res3", 8), build_feature_extractor("raw_colour")
    davis, youtube_vos, tap_vid = (root / name for name in ("davis", "youtube_vos", "tap_vid"))
    folders = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}
    several = {"split": None, "annotations": "first", "size_tolerance": 1, "limit_sequences": 1}
    benchmarks: dict[str, Callable[[], Any]] = {
        "davis": partial(vidcorr.DavisBenchmark, davis),
        "davis_crw": partial(vidcorr.DavisBenchmark, davis, protocol="crw"),
        "davis_dino": partial(vidcorr.DavisBenchmark, davis, protocol="dino"),
        "youtube_vos": partial(vidcorr.YoutubeVosBenchmark, youtube_vos, split="holdout", holdout=0.4, unseen=2),
        "youtube_vos_valid": partial(vidcorr.YoutubeVosBenchmark, youtube_vos, all_frames=True),
        "jhmdb": partial(vidcorr.JhmdbBenchmark, root / "jhmdb"),
        "vip": partial(vidcorr.VipBenchmark, root / "vip"),
        "vos": partial(vidcorr.VosBenchmark, davis, **folders),
        "tap_vid": partial(vidcorr.TapVidBenchmark, tap_vid),
        "tap_vid_strided": partial(vidcorr.TapVidBenchmark, tap_vid, "fgvc", changes={"query_mode": "strided"}),
        "tap_vid_chained": partial(vidcorr.TapVidBenchmark, tap_vid, "gmrw-chained"),
        "badja": partial(vidcorr.BadjaBenchmark, root / "badja", protocol="fomo"),
        "real_davis": partial(vidcorr.DavisBenchmark, root / "real_davis", split=None),
        "real_davis_multi": partial(vidcorr.DavisBenchmark, real_data("davis_multi_first"), **several),
        "real_jhmdb": partial(vidcorr.JhmdbBenchmark, real_data("jhmdb"), limit_sequences=1),
        "otb": partial(vidcorr.OtbBenchmark, root / "otb", version=None, video=True),
        "real_otb": partial(vidcorr.OtbBenchmark, root / "real_otb", version=None, video=False),
    }
    for name, make in benchmarks.items():
        yield f"{name}/resnet18", partial(evaluate, make, resnet, "resnet18")
        if not name.endswith("otb"):
            yield f"{name}/raw_colour", partial(evaluate, make, raw, "raw_colour")
        if name in ("davis", "jhmdb", "vip", "tap_vid", "badja"):
            yield f"{name}/res3", partial(evaluate, make, res3, "two_stages")
    clip = min((davis / "JPEGImages" / "480p").iterdir())
    mask = MaskPrompt.of(davis / "Annotations" / "480p" / clip.name / "00000.png")
    ys, xs = np.nonzero(mask.labels)
    box = BoxPrompt.of([float(xs.min()), float(ys.min()), float(np.ptp(xs)) + 1, float(np.ptp(ys)) + 1])
    points = PointPrompt.of({"first": [float(xs[0]), float(ys[0])], "middle": [float(xs.mean()), float(ys.mean())]})
    predict = partial(vidcorr.predict_video, resnet.view("res4", 8), clip)
    yield "predict_masks", partial(predict, mask)
    yield "predict_masks_small", lambda folder: predict(mask, folder, short_side=64, overlay=False)
    yield "predict_points", partial(predict, points)
    yield "predict_points_fomo", lambda folder: predict(points, folder, protocol="fomo")
    yield "predict_box", partial(vidcorr.predict_video, resnet.view("res5", dilated=True), clip, box)
    for method in RUNS:
        yield f"fit_{method}", partial(train, method)


def evaluate(make: Callable[[], Any], network: Any, name: str, folder: Path) -> None:
    """Score an extractor, or the one that the benchmark takes of a network."""
    benchmark = make()
    benchmark.evaluate(benchmark.extractor(network) if name == "resnet18" else network, folder, name)


def train(method: str, folder: Path) -> None:
    """Write the losses and the state of a method after three steps."""
    folder.mkdir()
    np.savez(folder / "state.npz", **{name: tensor.numpy() for name, tensor in trained(method).items()})


def record(data: Path, only: str = "") -> dict[str, Any]:
    """Return scores, and the hash of each file of every run whose name begins with `only`."""
    make_data(data)
    found: dict[str, Any] = {}
    for name, run in runs(data):
        if not name.startswith(only):
            continue
        with TemporaryDirectory() as place:
            folder = Path(place) / "run"
            run(folder)
            _redraw(folder)
            content: dict[str, Any] = {"files": _hashes(folder)}
            if (folder / "results.json").is_file():
                content["scores"] = json.loads((folder / "results.json").read_text())["scores"]
            found[name] = content
            print(name, content.get("scores", ""), f"{len(content['files'])} files")
    return found


def _redraw(folder: Path) -> None:
    """Take out of a run's results what changes, and draw its page again."""
    if (folder / "report.html").is_file():
        result = Result.load(folder).model_copy(update={"provenance": Provenance(), "seconds": 0.0, "seconds_of": {}})
        write_report(folder, result=result)


def _hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".in-use"]
    return {str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()[:16] for path in files}


def _content(path: Path) -> bytes:
    """Return what is compared of a file: all but dates, seconds and the machine."""
    if path.suffix == ".json":
        return json.dumps(_lasting(json.loads(path.read_text()))).encode()
    if path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            return json.dumps([(item.filename, item.CRC) for item in archive.infolist()]).encode()
    return path.read_bytes()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in CHANGING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", default="", help="beginning of the names of the runs, for example predict")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    result = record(flags.data.resolve(), flags.only)
    flags.output.write_text(json.dumps(result, indent=1) + "\n")
    if flags.against is not None:
        moved = differences(json.loads(flags.against.read_text()), result)
        print("\n".join(moved) or "nothing moved")
        sys.exit(bool(moved))
