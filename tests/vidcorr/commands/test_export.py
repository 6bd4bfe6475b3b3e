"""`vidcorr export`: the card beside the file; the file itself is tested in tests/vidcorr/backbones/test_export.py.

Also tests `reports/model_card.py`.
"""

from unittest.mock import Mock

import pytest
import torch

from tests.helpers.runs import write_results
from tests.helpers.words import refusal
from vidcorr.backbones.files.saved_models import METADATA_KEY
from vidcorr.cli import main
from vidcorr.results.result import Evaluated


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Words of an export whose file is written elsewhere; a run with results of two steps, and one of no step."""
    monkeypatch.setattr("vidcorr.experiments.reports.model_card.export", Mock(return_value="load it"))
    run = tmp_path / "run"
    for step in (0, 7):
        history = [Evaluated(epoch=0, step=7 - step, scores={}), Evaluated(epoch=0, step=step, scores={})]
        scores = {"J-Mean": 0.5 + step / 100, "F-Mean": 0.4}
        write_results(run / f"benchmarks/new/{step}", scores, digest="d", history=history)
    write_results(run / "benchmarks/frozen", {"J-Mean": 0.1})
    (run / "checkpoints").mkdir()
    return ["export", str(run / "checkpoints/last.ckpt"), str(tmp_path / "out.safetensors")]


def test_a_card_tells_method_data_training_and_the_scores_of_its_step(words, tmp_path, capsys, recorded):
    arguments = {"backbone": "tiny", "lr": 0.5, "_instantiator": "a", "bank": {"frames": 0}}
    encoder = {"spec": "tiny", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    content = {
        METADATA_KEY: {"class_path": "own.Mine", "encoder": encoder},
        "hyper_parameters": arguments,
        "global_step": 7,
        "epoch": 2,
    }
    torch.save(content, words[1])
    data = "{class_path: vidcorr.datamodules.VideoDataModule, init_args: {source: clips}}"
    (tmp_path / "run/config.yaml").write_text(f"data: {data}")
    for _ in range(2):  # a card of ours may be replaced
        main(words)
        assert (tmp_path / "README.md").read_text().split("\n") == recorded
    said = capsys.readouterr().out
    assert said.startswith(f"load it\n# card: {tmp_path / 'README.md'}; upload both: ")
    (tmp_path / "README.md").write_text("my notes")
    assert "README.md: is no model card of vidcorr" in refusal(*words)
    assert (tmp_path / "README.md").read_text() == "my notes"


def test_a_card_of_no_run_has_no_data_of_a_config_nearby(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "run/checkpoints")
    (tmp_path / "run/config.yaml").write_text("data: {class_path: a.B, init_args: {source: clips}}")
    torch.save({"conv1.weight": torch.ones(1)}, words[1])  # released weights
    for network in ("raw_colour", words[1]):
        main([words[0], network, words[2]])
        assert "Data: not recorded.\n" in (tmp_path / "README.md").read_text()


def test_a_card_names_no_path_of_the_exporter_and_our_network_keeps_its_own(tmp_path):
    main(["export", "vidcorr-r18", str(tmp_path / "ours/net.safetensors")])
    ours = (tmp_path / "ours/README.md").read_text()
    assert "A ResNet-18 up to res4, trained by VFS with negatives" in ours
    assert "](" not in ours  # a link would lead out of the folder
    main(["export", str(tmp_path / "ours/net.safetensors"), str(tmp_path / "again/net.safetensors")])
    again = (tmp_path / "again/README.md").read_text()
    assert "load('net.safetensors')" in again
    assert str(tmp_path) not in ours + again
