"""A sweep: the scores of each protocol alone, from far fewer passes; a choice that is reported elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks import DavisBenchmark
from callbacks.experiments.effects import read_scores
from callbacks.tools.sweep import command
from lightning_modules.backbones import build_feature_extractor

VARIED = ["radius=3,6", "topk=2,10", "temperature=0.05,0.2"]


@pytest.fixture(scope="module")
def swept(davis_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of eight protocols over three generated sequences, untrained ResNet-18."""
    output = tmp_path_factory.mktemp("sweep")
    command(["torchvision:resnet18", "--root", str(davis_root), "--vary", *VARIED, "--output", str(output)])
    return output


def test_scores_are_those_of_each_protocol_alone(swept: Path, davis_root: Path) -> None:
    scored = read_scores([path.parent for path in swept.glob("*/results.json")], "J&F-Mean")
    assert len(scored) == 8
    torch.manual_seed(0)
    extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
    for one in scored[::3]:
        changes = {field: one.fields[field] for field in ("radius", "topk", "temperature")}
        benchmark = DavisBenchmark(davis_root, changes=changes)
        assert benchmark.evaluate(extractor)["J&F-Mean"] == pytest.approx(one.score, abs=1e-9)
        assert benchmark.protocol.digest() == one.digest


def test_one_pass_of_the_network_serves_all(swept: Path) -> None:
    (results,) = swept.glob("*/results.json")
    assert len(json.loads(results.read_text())["protocol"]) == 8
    text = (swept / "sweep.md").read_text()
    assert all(f"## {field}" in text for field in ("radius", "topk", "temperature"))
    assert "Chosen on one part of the sequences" in text
    assert (swept / "sweep.png").stat().st_size > 10_000


def test_what_is_done_is_not_run_again(
    swept: Path, davis_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr(DavisBenchmark, "evaluate", refuse)
    command(["torchvision:resnet18", "--root", str(davis_root), "--vary", *VARIED, "--output", str(swept)])
    assert "Best 8 of 8 protocols" in capsys.readouterr().out
