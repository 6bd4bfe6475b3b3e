"""Jobs: what their keys depend on.

Also tests `videos/digests.py`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightning_modules import FrozenEncoder
from tests.helpers.encoders import saved_resnet
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark, evaluate
from vidcorr.backbones import NamedNetwork
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.export import export
from vidcorr.benchmarks.network import GivenNetwork, with_unique_rows
from vidcorr.benchmarks.ranks import Ranks
from vidcorr.datasets.generated import write_davis
from vidcorr.experiments.evaluate import Job, Runner, table_of
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.records import records_of
from vidcorr.results.result import Network, Row
from vidcorr.results.tables import tabulate
from vidcorr.videos.masks import read_mask

VFS = PropagationProtocol.named("vfs")
RAW = NamedNetwork("raw_colour")
LIBRARY = "torchvision:resnet18"
TINY = "tests.helpers.encoders:TinyResNet"


@pytest.mark.parametrize(
    ("text", "expected", "is_random"),
    [
        ("timm:vit@block9", ("timm:vit@block9, random weights", "timm:vit", "block9", None, False), True),
        ("untrained@res4/8", ("untrained@res4/8, random weights", LIBRARY, "res4", 8, False), True),
        ("raw_colour", ("raw_colour", "raw_colour", None, None, False), False),
        ("dino-s16", ("dino-s16", "timm:vit_small_patch16_224.dino", "block12", None, True), False),
    ],
)
def test_what_the_command_line_names(text, expected, is_random):
    named = NamedNetwork(text)
    found = named.name, named.spec, named.stage, named.stride, named.pretrained
    assert (found, named.is_random) == (expected, is_random)
    assert NamedNetwork(LIBRARY, pretrained=True).pretrained


def test_modules_of_one_name_have_rows_of_their_own():
    rows = with_unique_rows([nn.Conv2d(3, 2, 8), RAW, nn.Conv2d(3, 2, 8), "raw_colour"])
    assert [row.name for row in rows] == ["Conv2d", "raw_colour", "Conv2d (2)", "raw_colour"]


@dataclass(frozen=True)
class Own(DavisBenchmark):
    """A user's benchmark with an argument of its own."""

    threshold: float = 0.5


@dataclass(frozen=True)
class Stable(DavisBenchmark):
    """A user's benchmark with a score of its own."""

    name = "stable"
    score_names = ("Stability",)

    def scores(self, rows):
        return {"Stability": super().scores(rows)["J-Mean"]}


def test_a_key_depends_on_all_that_moves_the_score_and_on_nothing_else(davis_root, tmp_path):
    def job(network=RAW, root=davis_root, protocol=VFS, **arguments):
        return Job(network, DavisBenchmark(root, protocol=protocol, **arguments))

    twin = tmp_path / "twin"
    twin.symlink_to(davis_root)
    first = job()
    assert job(root=twin, protocol="vfs+topk=10").key == first.key
    write_davis(tmp_path / "other", 3, frames=8, size=(64, 64))
    others = [
        job(protocol=VFS.with_changes(topk=7)),
        job(limit_sequences=1),
        job(root=tmp_path / "other"),
        job(name="davis_2016", split=None),
        job(NamedNetwork("raw_colour@colour/4")),
        job(NamedNetwork(LIBRARY)),
        job(replace(NamedNetwork(LIBRARY), seed=1)),
        Job(RAW, Own(davis_root)),
        Job(RAW, Own(davis_root, threshold=0.7)),
    ]
    assert len({each.key for each in (first, *others)}) == 10


def test_a_precision_that_the_device_decides_belongs_to_the_key(davis_root, monkeypatch):
    benchmark = DavisBenchmark(davis_root, changes={"backbone_precision": "auto"})
    keys = set()
    for fastest in ("float32", "bfloat16"):
        monkeypatch.setattr("vidcorr.experiments.evaluate.fastest_precision", Mock(return_value=(fastest, "")))
        keys.add(Job(RAW, benchmark).key)
    assert len(keys) == 2


def test_masks_of_davis_2016_change_no_benchmark_and_no_key(tmp_path):
    root = write_davis(tmp_path / "davis", 1, frames=4, size=(32, 32))
    for path in (root / "Annotations").rglob("*.png"):
        Image.fromarray(np.where(read_mask(path) > 0, 255, 0).astype(np.uint8)).save(path)
    benchmark = DavisBenchmark(root, changes={"radius": 3})
    told, key = repr(benchmark), Job(RAW, benchmark).key
    result = benchmark.evaluate("raw_colour")
    assert (result.data["year"], result.data["rules"]["name"]) == (2016, "davis-2016")
    assert (repr(benchmark), Job(RAW, benchmark).key) == (told, key)


@pytest.mark.slow
def test_a_checkpoint_counts_by_its_bytes_and_code_of_the_users_is_run_again(davis_root, tmp_path):
    benchmark = DavisBenchmark(davis_root)
    for seed in (0, 0, 1):
        saved_resnet(tmp_path / f"{seed}.ckpt", seed)
    keys = [Job(NamedNetwork(str(tmp_path / name)), benchmark).key for name in ("0.ckpt", "1.ckpt")]
    (tmp_path / "moved.ckpt").write_bytes((tmp_path / "0.ckpt").read_bytes())
    assert Job(NamedNetwork(str(tmp_path / "moved.ckpt")), benchmark).key == keys[0] != keys[1]
    write_checkpoint(FrozenEncoder(TINY), tmp_path / "own.ckpt")
    named = ("raw_colour", "torchvision:resnet18", "dino-s16", "vidcorr-r18", str(tmp_path / "0.ckpt"))
    assert all(Job(NamedNetwork(name), benchmark).is_reusable for name in named)
    export(tmp_path / "own.ckpt", tmp_path / "own.safetensors")
    files = [str(tmp_path / name) for name in ("own.ckpt", "own.safetensors")]
    for row in with_unique_rows((TINY, *files, nn.Conv2d(3, 2, 8, 8))):  # code of the user may have changed
        assert not Job(row, benchmark).is_reusable
    assert not Job(RAW, Own(davis_root)).is_reusable


@pytest.mark.slow
def test_a_spec_given_again_counts_by_the_weights_of_now(davis_root, tmp_path):
    network = nn.Conv2d(3, 2, 8, 8)  # its own `stride` makes it no extractor
    spec, davis = GivenNetwork(network, "mine"), DavisBenchmark(davis_root, limit_sequences=1, changes=SMALL)

    def digests():
        table = evaluate([spec], [davis], tmp_path)
        (cell, *_) = table.rows["mine"].values()
        return cell.records[0].result.network.digest

    first = digests()
    assert digests() == first
    with torch.no_grad():
        network.weight.mul_(-1)
    assert digests() != first
    assert len(list(tmp_path.glob("mine-*"))) == 2


@pytest.mark.slow
def test_stages_have_rows_of_their_own_in_the_table(tmp_path):
    root = write_davis(tmp_path / "davis", 1, frames=3, size=(32, 32))
    benchmarks = [DavisBenchmark(root, stage=stage, changes=SMALL) for stage in ("res3", "res4")]
    table = evaluate([TINY], benchmarks, tmp_path)
    counts = {name.rpartition(", ")[2]: len(next(iter(row.values())).scores) for name, row in table.rows.items()}
    assert counts == {"res3": 1, "res4": 1}


def test_each_heading_has_the_scores_of_its_benchmark_alone(tmp_path, capsys):
    root = write_davis(tmp_path / "davis", 1, frames=3, size=(32, 32))
    stable = Stable(root, changes=SMALL)
    evaluate(["raw_colour"], [DavisBenchmark(root, changes=SMALL), stable], tmp_path / "results")
    _, davis, other = capsys.readouterr().out.split("## ")
    assert davis.startswith("davis")
    assert other.startswith("stable")
    assert ("J&F-Mean" in davis, "Stability" in davis) == (True, False)
    assert ("J&F-Mean" in other, "Stability" in other) == (False, True)


def test_ranks_with_different_networks_are_refused(davis_root, tmp_path, monkeypatch):
    monkeypatch.setattr(Ranks, "gather", lambda self, value: [value, ("another",)])
    message, davis = "the ranks hold different networks", DavisBenchmark(davis_root)
    refused(ValueError, message, evaluate, ["raw_colour"], [davis], tmp_path)


def test_an_earlier_score_is_no_score_of_code_that_now_fails(davis_root, tmp_path, monkeypatch):
    job = Job(RAW, Own(davis_root, changes=SMALL, limit_sequences=1))
    assert list(Runner(tmp_path).run([job])) == [job]
    monkeypatch.setattr(Own, "score", Mock(side_effect=ValueError("broken")))
    runner = Runner(tmp_path)
    assert runner.run([job]) == {}
    assert list(runner.failures) == [job]


def test_evaluate_says_the_difference_that_table_says():
    """Seeds of random weights are seeds: their spread is in the interval of a difference."""
    places = {}
    for name, seeds in (("A", (0,)), ("B", (0, 1, 2))):
        for seed in seeds:
            rows = [Row(video=str(n), object="1", values={"J-Mean": 0.5 + 0.01 * (n + 3 * seed)}) for n in range(5)]
            network = Network(name=name, seed=seed, recipe=name)
            result = davis_result({"J-Mean": 0.52 + 0.03 * seed}, network=network, rows=rows)
            places[Path(f"{name}-{seed}")] = result
    said = table_of(places, "B")
    records = [record for place, result in places.items() for record in records_of(result, ["J-Mean"], place=place)]
    expected = tabulate(records).with_differences("B")
    assert [cell.difference for cell in said.cells] == [cell.difference for cell in expected.cells]
    assert said.cells[0].difference.ends is not None
