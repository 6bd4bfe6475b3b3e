"""Every benchmark on one small sequence by raw colour, from files to scores and files: the fast tier guards it.

Also tests `benchmarks/davis.py`, `benchmarks/jhmdb.py`, `benchmarks/output.py`, `benchmarks/vip.py`.
"""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.benchmark_data import SIZES, arguments_of, benchmark_classes
from vidcorr import Result
from vidcorr.metrics.declared import Score

SMALLER = SIZES["smaller"]
"""Benchmark → arguments that replace those of `arguments_of`."""
RECORD = Path(__file__).with_name("numbers.json")
"""File: benchmark → what `recorded` gives of its run. `write` makes it anew after a change on purpose."""

CHANGING = {"format", "provenance", "seconds", "seconds_of", "stage", "declared", "digests"}
"""Entries of a result that are of the machine, or compared in part."""


def content(file):
    """Return what a file of a run holds: an array, JSON, or the number of characters and the numbers of a text."""
    if file.suffix == ".npz":
        return dict(np.load(file))
    if file.suffix in (".png", ".webp"):
        return np.array(Image.open(file))
    if file.suffix == ".html":
        return None
    text = file.read_text()
    if file.suffix == ".json":
        return json.loads(text)
    numbers = re.findall(r"-?\d+[.]?\d*", text)
    return {"characters": len(text), "numbers": list(map(float, numbers))}


def flat(value, key=""):
    """Yield place and value of each text and number; of many numbers their shape, and their mean by growing weights."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flat(item, f"{key}/{name}")
        return
    try:
        numbers = np.array(value, float)
    except (TypeError, ValueError):
        if isinstance(value, list | tuple):
            yield from flat(dict(enumerate(value)), key)
        else:
            yield key, str(value)
        return
    if numbers.ndim:
        yield f"{key}.shape", str(numbers.shape)
    if numbers.size:
        weights = np.arange(1, numbers.size + 1)
        yield key, float(np.average(np.nan_to_num(numbers, nan=-1.0).flat, weights=weights))


def made(kind, folder):
    """Return a benchmark over small data in a folder."""
    return kind(**{"limit_sequences": 1} | arguments_of(kind, folder / "data") | SMALLER.get(kind.__name__, {}))


def recorded(benchmark, output):
    """Run a benchmark; return what its result and its files hold, flat."""
    benchmark.evaluate("raw_colour", output)
    files = {str(path.relative_to(output)): content(path) for path in sorted(output.rglob("*.*"))}
    stored = files.pop("results.json")
    of_class = {name: getattr(benchmark, name) for name in ("score_names",)}
    unusual = [repr(score) for score in benchmark.declared if score != Score(score.name)]
    found = {name: stored[name] for name in stored.keys() - CHANGING} | {
        "watched": list(stored["seconds_of"]),
        "files": files,
        "of_class": of_class | {"pooled": str(benchmark.pooled), "unusual": unusual},
    }
    return dict(flat(found | {"stage": stored["stage"] | {"protocol": stored["stage"]["protocol"]["name"]}}))


def write(folder):
    """Write the record, with the data of the runs in an empty folder."""
    found = {}
    for kind in benchmark_classes():
        output = folder / kind.__name__
        found[kind.__name__] = recorded(made(kind, output), output / "out")
    RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


@pytest.fixture
def other_default_type():
    torch.set_default_dtype(torch.bfloat16)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", benchmark_classes(), ids=lambda kind: kind.__name__)
def test_scores_and_files(kind, tmp_path, other_default_type):
    """Scores, rows, facts and the contents of all files, whatever torch's default type is.

    The stored rows give the scores again, in any order.
    """
    expected = json.loads(RECORD.read_text())[kind.__name__]
    benchmark = made(kind, tmp_path)
    assert recorded(benchmark, tmp_path / "out") == pytest.approx(expected, abs=2e-3)
    stored, fresh = Result.load(tmp_path / "out"), replace(benchmark)
    rows = random.Random(0).sample(stored.rows, len(stored.rows))
    assert fresh.scores(rows) == pytest.approx(stored.scores, rel=0, abs=0, nan_ok=True)
    assert hash(fresh) == hash(benchmark)
