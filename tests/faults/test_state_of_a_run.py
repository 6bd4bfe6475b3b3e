"""A checkpoint whose state of a run has another form, through `fit` and `resume`: one line that names the file."""

from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import torch

from tests.helpers.words import TINY, clips, refusal
from vidcorr.cli import main

BUFFER = ("optimizer_states", 0, "state", 0, "momentum_buffer")
CHANGES = {
    "a buffer of another shape": (BUFFER, torch.zeros(7, 5)),
    "a buffer of text": (BUFFER, "zeros"),
    "no groups": (("optimizer_states",), [{}]),
    "other groups": (("optimizer_states", 0, "param_groups", 0, "params"), [0]),
    "no rates": (("lr_schedulers", 0), {"last_epoch": 1}),
    "rates of text": (("lr_schedulers", 0, "last_epoch"), "a"),
    "a schedule of text": (("lr_schedulers", 0), "a"),
    "data in a list": (("VideoDataModule",), [1]),
    "a weight without a name": (("state_dict", 7), torch.zeros(1)),
    "no loops": (("loops",), {"fit_loop": {"epoch_progress": {}}}),
}
"""Form → place in the state, and what stands there."""


@pytest.fixture(scope="module")
def trained(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    words = [*TINY, *clips(video_folder), "--trainer.max_epochs=2", f"--trainer.default_root_dir={folder}"]
    words += ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    main(["fit", *words, "--trainer.max_steps=1"])
    return words, next(folder.rglob("last.ckpt"))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.sampled(4)
def test_a_state_of_another_form_ends_in_a_line(change, trained, tmp_path):
    words, last = trained
    content = torch.load(last, weights_only=True)
    (*above, name), value = CHANGES[change]
    reduce(getitem, above, content)[name] = value
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    line = refusal("fit", *words, f"--trainer.default_root_dir={tmp_path}", f"--ckpt_path={path}")
    what = "it lacks its weights" if above == ["state_dict"] else "its state of a run"
    assert f"{path}: is damaged: {what}" in line
    assert not list(Path(tmp_path).rglob("last.ckpt"))
