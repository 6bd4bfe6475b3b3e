"""A checkpoint whose state of a run has another form, through `fit` and `resume`: one line that names the file."""

from pathlib import Path

import pytest
import torch

from tests.helpers.words import TINY, clips, refusal
from vidcorr.cli import main


def of_another_shape(content):
    weights = content["optimizer_states"][0]["state"][0]
    weights["momentum_buffer"] = torch.zeros(7, 5)


def of_text(content):
    content["optimizer_states"][0]["state"][0]["momentum_buffer"] = "zeros"


def without_groups(content):
    content["optimizer_states"] = [{}]


def of_other_groups(content):
    content["optimizer_states"][0]["param_groups"][0]["params"] = [0]


def without_rates(content):
    del content["lr_schedulers"][0]["lr_lambdas"]


def of_rates_in_text(content):
    content["lr_schedulers"][0]["last_epoch"] = "a"


def without_loops(content):
    content["loops"] = {"fit_loop": {"epoch_progress": {}}}


CHANGES = (
    of_another_shape,
    of_text,
    without_groups,
    of_other_groups,
    without_rates,
    of_rates_in_text,
    without_loops,
)


@pytest.fixture(scope="module")
def trained(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    words = [*TINY, *clips(video_folder), "--trainer.max_epochs=2", f"--trainer.default_root_dir={folder}"]
    words += ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    main(["fit", *words, "--trainer.max_steps=1"])
    return words, next(folder.rglob("last.ckpt"))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_state_of_another_form_ends_in_a_line(change, trained, tmp_path):
    words, last = trained
    content = torch.load(last, weights_only=True)
    change(content)
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    line = refusal("fit", *words, f"--trainer.default_root_dir={tmp_path}", f"--ckpt_path={path}")
    assert f"{path}: is damaged: its state of a run" in line
    assert not list(Path(tmp_path).rglob("last.ckpt"))
