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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml

import vidcorr
from tests.helpers.faults import differences
from tests.helpers.method_steps import RUNS, trained
from tests.helpers.references import real_data
from tests.helpers.sprite import bounds
from vidcorr import Result, write_report
from vidcorr.backbones import build_feature_extractor, load
from vidcorr.benchmarks.network import view_for
from vidcorr.datasets import generated
from vidcorr.results.provenance import Provenance
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt

GIVEN = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
CHANGING = {"provenance", "date", "machine", "command", "versions", "seconds", "seconds_per_frame", "seconds_of"}
"""Entries of a JSON file that differ from run to run."""


def make_data(root: Path) -> None:
    """Generate the small sets, and cut a few frames out of the real sequences."""
    if (root / "complete").exists():
        return
    for name, (videos, options) in GIVEN["sets"].items():
        getattr(generated, f"write_{name}")(root / name, videos, **options)
    for folder, frames in GIVEN["parts"].items():
        (root / f"real_{folder}").mkdir(parents=True)
        for file in sorted(real_data(folder).iterdir())[:frames]:
            shutil.copy(file, root / f"real_{folder}")
    for name in ("Crossing", "Man"):
        lines = real_data(f"otb/{name}/groundtruth_rect.txt").read_text().splitlines(keepends=True)
        (root / "real_otb" / name / "groundtruth_rect.txt").write_text("".join(lines[:8]))
    (root / "complete").touch()


def runs(root: Path) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Name of each run, and the call that writes its files into a folder."""
    torch.manual_seed(0)
    resnet = load("torchvision:resnet18")
    raw = build_feature_extractor("raw_colour")
    for name, (kind, data, arguments) in GIVEN["benchmarks"].items():
        folder = real_data(data.removeprefix("real/")) if data.startswith("real/") else root / data
        benchmark = getattr(vidcorr, kind)(folder, **arguments)
        yield f"{name}/resnet18", partial(benchmark.evaluate, view_for(benchmark, resnet, resnet), name="resnet18")
        if not name.endswith("otb"):
            yield f"{name}/raw_colour", partial(benchmark.evaluate, raw, name="raw_colour")
        if name in ("davis", "jhmdb", "vip", "tap_vid"):
            yield f"{name}/res3", partial(benchmark.evaluate, resnet.view("res3", 8), name="two_stages")
    clip = min((root / "davis/JPEGImages/480p").iterdir())
    mask = MaskPrompt.of(root / "davis/Annotations/480p" / clip.name / "00000.png")
    ys, xs = np.nonzero(mask.labels)
    points = PointPrompt.of({"first": [float(xs[0]), float(ys[0])], "middle": [float(xs.mean()), float(ys.mean())]})
    predict = partial(vidcorr.predict_video, resnet.view("res4", 8), clip)
    yield "predict_masks", partial(predict, mask)
    yield "predict_masks_small", lambda folder: predict(mask, folder, short_side=64, overlay=False)
    yield "predict_points", partial(predict, points)
    yield "predict_points_fomo", lambda folder: predict(points, folder, protocol="fomo")
    box = BoxPrompt.of(bounds(mask.labels).tolist())
    yield "predict_box", partial(vidcorr.predict_video, resnet.view("res5", dilated=True), clip, box)
    for method in RUNS:
        yield f"fit_{method}", partial(train, method)


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
            found[name] = {}
            if (folder / "results.json").is_file():
                found[name]["scores"] = json.loads((folder / "results.json").read_text())["scores"]
                fixed = {"provenance": Provenance(), "seconds": 0.0, "seconds_of": {}}
                write_report(folder, result=Result.load(folder).model_copy(update=fixed))
            files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".in-use"]
            found[name]["files"] = {str(path.relative_to(folder)): lasting_hash(path) for path in files}
            print(name, found[name].get("scores", ""), f"{len(files)} files")
    return found


def lasting(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what does not change from run to run in an object of a JSON file."""
    return {key: value for key, value in entry.items() if key not in CHANGING}


def lasting_hash(path: Path) -> str:
    """Return a digest of a file but for dates, seconds and the machine."""
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(json.loads(content, object_hook=lasting)).encode()
    if path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            content = json.dumps([(item.filename, item.CRC) for item in archive.infolist()]).encode()
    return hashlib.sha256(content).hexdigest()[:16]


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
