"""A checkpoint is data: no path in it is ever followed."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from tests.helpers.stops import Stop, go


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped within its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    go("VFSSimSiam", folder, stop=Stop("step", 3))
    return folder


def test_no_path_of_a_checkpoint_is_followed(stopped, tmp_path):
    kept, other = tmp_path / "kept", tmp_path / "other"
    own = ModelCheckpoint(monitor="counted/score", mode="min", dirpath=kept, filename="own-{step}")
    content = torch.load(stopped / "last.ckpt", weights_only=True)
    for folder in (kept, other):
        (folder / "folder.ckpt").mkdir(parents=True)
        (folder / "notes.txt").write_text("a user's")
    (other / "notes.ckpt").write_text("a user's")
    (kept / "linked.ckpt").symlink_to(other / "notes.ckpt")
    (kept / "real.ckpt").write_text("an earlier best one")
    before = {*tmp_path.rglob("*")}
    names = [kept / name for name in ("folder.ckpt", "linked.ckpt", "notes.txt", "../other/notes.ckpt", "real.ckpt")]
    addresses = [f"{prefix}{other}" for prefix in ("local://", "file://", "simplecache::file://")]
    for path in map(str, [other, *addresses, other / "notes.ckpt", *names]):
        same = dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), path)
        state = {"best_k_models": {path: torch.tensor(1e9)}, "dirpath": str(kept), **same}
        content["callbacks"][own.state_key] = own.state_dict() | state
        torch.save(content, tmp_path / "last.ckpt")
        again = ModelCheckpoint(monitor="counted/score", mode="min", dirpath=kept, filename="own-{step}")
        assert go("VFSSimSiam", tmp_path / "run", start=tmp_path / "last.ckpt", more=[again])[1]
        gone = before - {*tmp_path.rglob("*")}
        assert gone == ({kept / "real.ckpt"} if path.endswith("real.ckpt") else set())
