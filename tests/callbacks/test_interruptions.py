"""Traces of a run that was stopped or refused: a line to paste, and no folder without results."""

import re
import shlex
import time
from types import SimpleNamespace

import pytest
import torch

from callbacks.run_folder import remove_unused
from cli import main
from tests.helpers.parsed import Built
from tests.helpers.words import TINY, clips, davis, flags, refusal

BRIEF = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]


def test_the_line_at_a_stop_resumes_the_run(video_folder, tmp_path, caplog):
    caplog.set_level("INFO")
    blow = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=2, place="end")
    words = [*TINY, *clips(video_folder, repeat=2), *BRIEF, f"--trainer.default_root_dir={tmp_path}/my runs", *blow]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *words])
    assert stopped.value.code == 143
    kept, ended, line = caplog.messages[-3:]
    assert kept.endswith("/checkpoints/last.ckpt holds step 2; a resumed run continues there")
    assert ended == "stopped by SIGTERM after step 2"
    assert line.startswith("resume: vidcorr fit ")
    main(shlex.split(line)[2:])
    assert [path.name for path in (tmp_path / "my runs/lightning_logs").iterdir()] == ["version_0"]
    assert torch.load(kept.split(" holds")[0], weights_only=True)["global_step"] == 5


def test_the_line_names_one_checkpoint(tmp_path):
    root = f"--trainer.default_root_dir={tmp_path}"
    for given in (["--ckpt_path", "null"], ["--ckpt_path=null"], []):
        built = Built(["fit", *TINY[:1], *given, root])
        assert built.resume_command("a b.ckpt") == f"vidcorr fit {TINY[0]} {root} --ckpt_path 'a b.ckpt'"


@pytest.mark.parametrize(
    "mistake",
    [
        ["fit", "--trainer.limit_train_batches=2", "stage"],
        ["fit", "root"],
        ["fit", "source"],
        ["fit", "--ckpt_path=damaged.ckpt"],
        ["fit", "--trainer.callbacks+=BestCheckpoint", "--trainer.callbacks.monitor=davis/X"],
        ["validate", "stage"],
        ["validate", "root"],
    ],
    ids=" ".join,
)
def test_a_refused_run_leaves_no_folder(mistake, video_folder, davis_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, *more = mistake
    torch.save({"state_dict": {}, "loops": {}}, "damaged.ckpt")
    benchmark = davis("nowhere" if "root" in more else davis_root, **({"stage": "res9"} if "stage" in more else {}))
    data = clips("nowhere" if "source" in more else video_folder) if command == "fit" else []
    refusal(command, *TINY, *data, *benchmark, *BRIEF, *(word for word in more if word.startswith("--")))
    assert not [*tmp_path.rglob("lightning_logs")]


def test_a_missing_stage_is_told_before_videos_are_generated(davis_root, tmp_path):
    data = flags("data", "SyntheticVideoDataModule", root=tmp_path / "made", videos=2)
    line = refusal("fit", *TINY, *data, *BRIEF, "--trainer.logger=false", *davis(davis_root, stage="res9"))
    assert re.match(r"vidcorr: .*res9", line)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kept", ["metrics.csv", "config.yaml"])
def test_a_folder_with_results_or_of_an_earlier_run_stays(kept, tmp_path):
    began = time.time() + (60 if kept == "config.yaml" else -60)
    (tmp_path / "version_0").mkdir()
    (tmp_path / "version_0" / kept).touch()
    trainer = SimpleNamespace(logger=SimpleNamespace(log_dir=tmp_path / "version_0"), global_step=0)
    remove_unused(trainer, began)
    assert (tmp_path / "version_0" / kept).exists()
    remove_unused(trainer, began - 120)
    assert (tmp_path / "version_0").exists() == (kept == "metrics.csv")
