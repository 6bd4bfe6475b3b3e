"""Record what benchmarks, `predict` and methods compute, down to the files, to compare two versions of the code.

    python -m tests.helpers.benchmark_record DATA before.json
    python -m tests.helpers.benchmark_record DATA after.json --against before.json

Every config of a benchmark is scored on generated data, and every method makes three steps. DATA is a folder that is
filled on first use and read as it is afterwards, so that both versions see the same bytes.
"""

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from cli import main
from tests.helpers.benchmark_data import data_for
from tests.helpers.faults import differences
from tests.helpers.method_steps import METHODS, tiny, tiny_batch
from tests.helpers.training import quiet_trainer
from vidcorr import Result, write_report
from vidcorr.results.provenance import Provenance

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "benchmarks"
OTHERS = {"davis_blocks_r50": "torchvision:resnet50", "davis_liir": "vidcorr.backbones.liir_encoder:LiirEncoder"}
"""Config → network with the stages that it names; the others take a ResNet-18."""
CHANGING = {"provenance", "date", "machine", "command", "versions", "seconds", "seconds_per_frame", "seconds_of"}
"""Entries of a JSON file that differ from run to run."""


def runs(root: Path) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Name of each run, and the call that writes its files into a folder."""
    for config in sorted(path.stem for path in CONFIGS.glob("*.yaml")):
        network = OTHERS.get(config, "torchvision:resnet18")
        yield config, partial(run, "evaluate", network, "--on", f"{config}={data_for(config, root)}")
    davis = data_for("davis", root)
    video = min((davis / "JPEGImages/480p").iterdir())
    prompts = {
        "masks": [f"--mask={davis}/Annotations/480p/{video.name}/00000.png"],
        "points": ["--points", "10,12", "30,20"],
        "points_fomo": ["--points", "10,12", "30,20", "--protocol=fomo"],
        "box": ["--box=10,12,20,24"],
    }
    for name, words in prompts.items():
        yield f"predict_{name}", partial(run, "predict", video, "--model=torchvision:resnet18", *words)
    for method in METHODS:
        yield f"fit_{method}", partial(train, method)


def run(*words: object, folder: Path) -> None:
    """Run a command that writes into a folder."""
    main([*map(str, words), f"--output={folder}"])


def train(method: str, folder: Path) -> None:
    """Write the state of a method after three steps."""
    module, batch = tiny(method), tiny_batch(method, samples=12)
    samples = [{name: values[number] for name, values in batch.items()} for number in range(12)]
    quiet_trainer(max_epochs=1).fit(module, DataLoader(samples, batch_size=4))
    folder.mkdir()
    np.savez(folder / "state.npz", **{name: tensor.numpy() for name, tensor in module.state_dict().items()})


def record(data: Path, only: str = "") -> dict[str, Any]:
    """Return scores, and the hash of each file of every run whose name begins with `only`."""
    found: dict[str, Any] = {}
    for name, write in runs(data):
        if not name.startswith(only):
            continue
        torch.manual_seed(0)
        with TemporaryDirectory() as place:
            folder = Path(place) / "run"
            write(folder=folder)
            scores = {str(path.relative_to(folder)): scores_of(path.parent) for path in folder.rglob("results.json")}
            files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".in-use")
            hashes = {str(path.relative_to(folder)): hashlib.sha256(content(path)).hexdigest()[:16] for path in files}
        found[name] = {"scores": scores, "files": hashes}
        print(name, *scores.values(), f"{len(hashes)} files")
    return found


def scores_of(folder: Path) -> dict[str, float]:
    """Return the scores of a run, whose page is drawn again without what changes."""
    result = Result.load(folder)
    write_report(
        folder, result=result.model_copy(update={"provenance": Provenance(), "seconds": 0.0, "seconds_of": {}})
    )
    return result.scores


def content(path: Path) -> bytes:
    """Return what is compared of a file: all but dates, seconds and the machine."""
    if path.suffix == ".json":
        return json.dumps(lasting(json.loads(path.read_text()))).encode()
    if path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            return json.dumps([(item.filename, item.CRC) for item in archive.infolist()]).encode()
    return path.read_bytes()


def lasting(value: Any) -> Any:
    """Return the content of a JSON file without the entries that change."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in CHANGING}
    return [lasting(item) for item in value] if isinstance(value, list) else value


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
