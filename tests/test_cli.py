"""The door: from files on disk to scores, by command line alone, on one node and on two."""

import io
import json
import os
import re
import shlex
import shutil
import sys
from collections import Counter

import pytest
import torch

from cli import main
from tests.helpers.nodes import run_on_nodes
from tests.helpers.words import TINY, clips, davis, flags, refusal

CONFIG = """
class_path: DavisBenchmark
init_args: {stage: res4, changes: {radius: 3, context: 2}}
before_training: true
"""


def arguments(videos, root, run):
    (run / "small.yaml").write_text(CONFIG)
    data, trainer = clips(videos, validation_fraction=0.3), flags("trainer", max_epochs=1, default_root_dir=run)
    return ["fit", *TINY, *data, *trainer, "--on", f"{run}/small.yaml={root}"]


@pytest.mark.slow
def test_fit_then_validate_gives_the_score_of_the_callback(video_folder, davis_root, tmp_path, capsys, monkeypatch):
    main(arguments(video_folder, davis_root, tmp_path))
    *_, said, report, next_command = capsys.readouterr().out.splitlines()
    run = tmp_path / "lightning_logs" / "version_0"
    before, results = sorted((run / "benchmarks" / "davis").glob("*/results.json"))
    assert (run / "config.yaml").is_file()
    assert list(run.glob("events.out.tfevents.*"))
    (checkpoint,) = (run / "checkpoints").glob("best-*.ckpt")
    first, last = (json.loads(path.read_text()) for path in (before, results))
    shown = [100 * result["scores"]["J&F-Mean"] for result in (first, last)]
    assert re.fullmatch(rf"davis/J&F-Mean {shown[0]:.1f} % at step 0, {shown[1]:.1f} % at step \d+", said)
    assert report == f"report: {results.with_name('report.html')}"
    assert results.with_name("report.html").is_file()
    said, command = next_command.split("; next: vidcorr ")
    assert said == f"checkpoint: {checkpoint}"
    monkeypatch.chdir(tmp_path)
    main([*shlex.split(command), *flags("trainer", accelerator="cpu", default_root_dir="pasted")])
    assert capsys.readouterr().out.count("J&F-Mean") == 1  # the checkpoint has the scores of its training too
    (pasted,) = (tmp_path / "pasted").rglob("results.json")
    pasted = json.loads(pasted.read_text())
    assert (pasted["scores"], pasted["stage"]) == (last["scores"], last["stage"])
    plain = torch.load(checkpoint, weights_only=True)
    assert plain["vidcorr"]["class_path"] == "lightning_modules.vfs_simsiam.VFSSimSiam"


@pytest.mark.slow
def test_a_mistake_that_shows_in_the_first_step_is_one_line(video_folder, davis_root, tmp_path):
    assert "clip of 3 frames" in refusal(*arguments(video_folder, davis_root, tmp_path), "--data.frames=3")


def test_a_file_name_that_is_not_utf8_is_printed_as_it_is(video_folder, tmp_path, monkeypatch):
    source, printed = tmp_path / "videos", io.BytesIO()
    shutil.copytree(video_folder, source)
    (source / os.fsdecode(b"bad\xff.mp4")).write_bytes(b"no video")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", errors="strict"))
    with pytest.raises(SystemExit):
        main(["check-data", str(source), "--output", str(tmp_path / "checked"), "--workers", "1"])
    sys.stdout.flush()
    assert b"bad\xff.mp4: has no complete header" in printed.getvalue()


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="torchvision:resnet18"):
        main(["validate", "--model=FrozenEncoder", "--model.spec=resnet18", "--debug"])


def test_debug_reaches_the_ranks_that_lightning_starts(monkeypatch):
    """They run the arguments of the process again."""
    seen, words = [], ["vidcorr", "fit", "--debug", "--seed_everything=1"]
    monkeypatch.setattr("cli.run_command", lambda args: seen.append((list(args), list(sys.argv))))
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert seen == [(["fit", "--seed_everything=1"], words)]


@pytest.mark.slow
def test_fit_on_two_nodes(video_folder, davis_root, tmp_path):
    words = ["fit", *TINY, *clips(video_folder, repeat=2, validation_fraction=0.3)]
    words += flags("trainer", strategy="ddp", num_nodes=2, devices=1, max_epochs=2, accumulate_grad_batches=2)
    words += flags("trainer.callbacks+", "tests.helpers.nodes.Witness", folder=tmp_path)
    words += [f"--trainer.default_root_dir={tmp_path}", *davis(davis_root, stage="res4", every_n_epochs=2)]
    printed = run_on_nodes(2, words)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert [told["rank"] for told in (first, second)] == [0, 1]
    assert [told["node"] for told in (first, second)] == [0, 1]
    assert first["ranks"] == second["ranks"] == 2
    assert first["weights"] == second["weights"]
    assert first["steps"] == second["steps"] == 2
    assert "8 videos = 2 per device × 2 device(s) × 2 accumulated" in printed[0]
    assert "global batch" not in printed[1]
    for epoch in (slice(0, 4), slice(4, 8)):  # four videos, each of them twice
        seen = Counter(first["videos"][epoch] + second["videos"][epoch])
        assert sorted(seen.values()) == [2, 2, 2, 2]

    (results,) = tmp_path.glob("lightning_logs/version_0/benchmarks/davis/*/results.json")
    content = json.loads(results.read_text())
    assert content["ranks"] == 2
    rows = (results.parent / "per_sequence.csv").read_text().splitlines()
    assert sum(row.startswith("synthetic-") for row in rows) >= 3
    assert len(list((results.parent / "predictions").iterdir())) == 3
